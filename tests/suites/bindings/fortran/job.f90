! Jobs from inside: a command, then a callback whose output another one collects, then one that
! must fail. The arguments are an input and an output; all names are padded with blanks.
module shouting
    use, intrinsic :: iso_c_binding, only: c_char, c_f_pointer, c_int, c_ptr, c_size_t
    use, intrinsic :: iso_fortran_env, only: int64
    use px
    implicit none

contains
    recursive integer(c_int) function shout(handle, user) bind(c)
        type(c_ptr), value :: handle, user
        type(px_chunk) :: chunk
        character(len=:), allocatable :: line
        character(len=1), pointer :: mark
        integer :: ierr

        chunk = px_chunk(handle)
        call c_f_pointer(user, mark)
        shout = PX_FAIL
        do while (px_record_next(chunk, line, ierr))
            call px_emit(chunk, line//mark//new_line('a'), ierr)
            if (ierr /= PX_OK) return
        end do
        if (ierr == PX_END) shout = PX_COMMIT
    end function shout

    integer(c_int) function collect(bytes, length, user) bind(c)
        type(c_ptr), value :: bytes
        integer(c_size_t), value :: length
        type(c_ptr), value :: user
        character(kind=c_char), pointer :: text(:)
        integer(int64), pointer :: marks

        call c_f_pointer(bytes, text, [length])
        call c_f_pointer(user, marks)
        marks = marks + count(text == '!')
        collect = 0
    end function collect
end module shouting

program job
    use, intrinsic :: iso_c_binding, only: c_loc
    use shouting
    implicit none
    type(px_job) :: own
    type(px_result) :: result
    character(len=4096) :: input, output
    character(len=1), target :: mark = '!'
    integer(int64), target :: marks = 0
    integer :: ierr

    call get_command_argument(1, input)
    call get_command_argument(2, output)

    call px_job_new(own)
    call px_job_input(own, input)
    call px_job_records(own, 'lines   ')
    call px_job_chunk_size(own, 4096_int64)
    call px_job_ranks(own, 2)
    call px_job_order(own, PX_ORDER_INPUT)
    call px_job_command(own, [character(len=10) :: 'tr', 'a-z', 'A-Z'])
    call px_job_output_path(own, output)
    call px_job_option(own, 'keep-going  ')
    call px_job_option(own, 'grace', '3')
    call px_job_run(own)
    call px_job_result(own, result)
    call px_job_free(own)
    print '(i0, 2(1x, i0))', result%status, result%input_bytes, result%output_bytes

    call px_job_new(own)
    call px_job_input(own, input)
    call px_job_chunk_records(own, 100_int64)
    call px_job_ranks(own, 3)
    call px_job_deal(own, PX_DEAL_DYNAMIC)
    call px_job_callback(own, shout, c_loc(mark))
    call px_job_output_callback(own, collect, c_loc(marks))
    call px_job_run(own)
    call px_job_free(own)
    print '(i0)', marks

    call px_job_new(own)
    call px_job_input(own, '/nowhere/at all  ')
    call px_job_command(own, ['cat'])
    call px_job_run(own, ierr)
    print '(l1, 2a)', ierr < 0, ' ', px_last_error()
    call px_job_free(own)
end program job
