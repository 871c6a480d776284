! A world of one whose input is one line, and what goes wrong in it: by `ierr` where there is one,
! and at the end without.
program errors
    use, intrinsic :: iso_c_binding, only: c_int
    use, intrinsic :: iso_fortran_env, only: int8, int64
    use px
    implicit none

    interface
        integer(c_int) function c_fork() bind(c, name='fork')
            import :: c_int
        end function c_fork

        integer(c_int) function c_wait(status) bind(c, name='wait')
            import :: c_int
            integer(c_int), intent(out) :: status
        end function c_wait

        subroutine c_exit(status) bind(c, name='_exit')
            import :: c_int
            integer(c_int), value :: status
        end subroutine c_exit
    end interface

    type(px_chunk) :: chunk
    type(px_message) :: message
    character(len=1), pointer :: data(:)
    integer(int8), pointer :: bytes(:)
    character(len=:), allocatable :: line, text
    integer(int64) :: number
    integer :: ierr, rank

    call px_finalize(ierr)
    call wants(ierr, PX_ERR_STATE, 'px_finalize before px_init')
    rank = px_rank(ierr)
    call wants(ierr, PX_ERR_STATE, 'px_rank before px_init')
    text = px_host(ierr)
    call wants(ierr, PX_ERR_STATE, 'px_host before px_init')
    call px_init(private_copies=.true., ierr=ierr)
    call wants(ierr, PX_OK, 'px_init')
    call px_init(ierr)
    call wants(ierr, PX_ERR_STATE, 'px_init again')
    call holds([px_rank(), px_size(), px_local_rank(), px_local_size()] == [0, 1, 0, 1], 'ranks')
    call holds([px_host() /= '', px_last_error() /= '', px_strerror(PX_END) /= ''], 'texts')
    call px_probe(0, 0, 0, message, ierr)
    call wants(ierr, PX_ERR_MODE, 'px_probe in a world of one')
    call wants(host_in_a_forked_child(), PX_ERR_FORK, 'px_host in a forked child')

    call holds([px_chunk_next(chunk, ierr)], 'one chunk')
    call wants(ierr, PX_OK, 'px_chunk_next')
    call holds([px_chunk_length(chunk), px_chunk_index(chunk), px_chunk_offset(chunk)] == &
        [5, 0, 0], 'the chunk')
    call holds([px_chunk_attempt(chunk) == 1], 'its attempt')
    call px_emit(chunk, bytes=[integer(int8) ::], ierr=ierr)
    call wants(ierr, PX_OK, 'px_emit of nothing')
    call holds([px_record_next(chunk, line, ierr)], 'its record')
    call wants(ierr, PX_OK, 'px_record_next')
    call holds([line == 'line', len(line) == 4], 'the record')
    call holds([.not. px_record_next(chunk, line, ierr)], 'no further record')
    call wants(ierr, PX_END, 'px_record_next at the end')
    call px_chunk_release(chunk, PX_COMMIT, ierr)
    call wants(ierr, PX_OK, 'px_chunk_release')

    call px_chunk_release(chunk, PX_COMMIT, ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_chunk_release again')
    call px_emit(chunk, 'late', ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_emit after it')
    number = px_chunk_length(chunk, ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_chunk_length after it')
    number = px_chunk_index(chunk, ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_chunk_index after it')
    number = px_chunk_offset(chunk, ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_chunk_offset after it')
    call px_chunk_data(chunk, data, ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_chunk_data of characters after it')
    call px_chunk_data(chunk, bytes, ierr)
    call wants(ierr, PX_ERR_HANDLE, 'px_chunk_data of bytes after it')
    call holds([.not. associated(data), .not. associated(bytes)], 'no data')

    call holds([.not. px_chunk_next(chunk, ierr)], 'no further chunk')
    call wants(ierr, PX_END, 'px_chunk_next at the end')
    call px_finalize(ierr)
    call wants(ierr, PX_OK, 'px_finalize')
    print '(2a)', 'px ', px_version()
    flush (6)
    call px_finalize()
    print '(a)', 'an error without ierr went unnoticed'

contains
    integer function host_in_a_forked_child()
        integer(c_int) :: child, status

        child = c_fork()
        if (child == 0) then
            text = px_host(ierr)
            call c_exit(int(-ierr, c_int))
        end if
        call holds([c_wait(status) == child], 'the child')
        host_in_a_forked_child = -ishft(status, -8)
    end function host_in_a_forked_child

    subroutine wants(found, wanted, what)
        integer, intent(in) :: found, wanted
        character(len=*), intent(in) :: what

        if (found /= wanted) then
            print '(2a, 2(a, i0))', what, ':', ' wanted ', wanted, ', found ', found
            stop
        end if
    end subroutine wants

    subroutine holds(all_of, what)
        logical, intent(in) :: all_of(:)
        character(len=*), intent(in) :: what

        if (.not. all(all_of)) then
            print '(2a)', 'not as wanted: ', what
            stop
        end if
    end subroutine holds
end program errors
