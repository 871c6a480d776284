! An MPI program that has its ranks work through a file: for each number, one a line, after how
! many steps it comes to 1 when it is halved if even, and else tripled and one added.
!
!     source=$(pkg-config --variable=fortrandir px_mpi_openmpi)
!     mpifort -std=f2008 -O2 -o mpi_job "$source/px.f90" "$source/px_mpi.f90" mpi_job.f90 \
!         $(pkg-config --libs px_mpi_openmpi)
!
!     mpirun -n 4 ./mpi_job numbers steps
!
! With MPICH the package is px_mpi_mpich. The output is in the order of the input.
module steps_of_numbers
    use, intrinsic :: iso_c_binding, only: c_f_pointer, c_int, c_ptr
    use, intrinsic :: iso_fortran_env, only: int64
    use px
    implicit none

contains
    ! Does a chunk, on a thread of libpx. `user` counts what this rank has done.
    recursive integer(c_int) function work(handle, user) bind(c)
        type(c_ptr), value :: handle, user
        type(px_chunk) :: chunk
        character(len=:), allocatable :: record
        character(len=64) :: line
        integer, pointer :: done
        integer(int64) :: number
        integer :: problem

        chunk = px_chunk(handle)
        call c_f_pointer(user, done)
        work = PX_FAIL
        do while (px_record_next(chunk, record, problem))
            read (record, *, iostat=problem) number
            if (problem /= 0) return
            write (line, '(i0, 1x, i0)') number, steps(number)
            call px_emit(chunk, trim(line)//achar(10), problem)
            if (problem /= PX_OK) return
            done = done + 1
        end do
        if (problem == PX_END) work = PX_COMMIT
    end function work

    integer function steps(start)
        integer(int64), intent(in) :: start
        integer(int64) :: number

        number = start
        steps = 0
        do while (number > 1)
            if (mod(number, 2_int64) == 0) then
                number = number/2
            else
                number = number*3 + 1
            end if
            steps = steps + 1
        end do
    end function steps
end module steps_of_numbers

program mpi_job
    use, intrinsic :: iso_c_binding, only: c_loc
    use mpi
    use px_mpi
    use steps_of_numbers
    implicit none
    type(px_job) :: job
    character(len=4096) :: input, output
    integer :: provided, rank, ranks, all, problem
    integer, target :: own = 0

    call MPI_Init_thread(MPI_THREAD_FUNNELED, provided, problem)
    call MPI_Comm_rank(MPI_COMM_WORLD, rank, problem)
    call MPI_Comm_size(MPI_COMM_WORLD, ranks, problem)
    call px_job_new(job)
    call px_job_callback(job, work, c_loc(own))
    if (rank == 0) then
        call get_command_argument(1, input)
        call get_command_argument(2, output)
        call px_job_input(job, input)
        call px_job_output_path(job, output)
        call px_job_order(job, PX_ORDER_INPUT)
        call px_job_deal(job, PX_DEAL_DYNAMIC)
        call px_job_chunk_records(job, 100_int64)
    end if
    call px_mpi_job_run(MPI_COMM_WORLD, job)
    call px_job_free(job)

    call MPI_Reduce(own, all, 1, MPI_INTEGER, MPI_SUM, 0, MPI_COMM_WORLD, problem)
    if (rank == 0) print '(i0, a, i0, a)', all, ' numbers by ', ranks, ' ranks'
    call MPI_Finalize(problem)
end program mpi_job
