! px_mpi_job_run for Fortran 2008: a job whose ranks are those of an MPI communicator. Compile it
! after px.f90, and link the library of the MPI of your program:
!
!     source=$(pkg-config --variable=fortrandir px_mpi_openmpi)
!     mpifort -o sweep "$source/px.f90" "$source/px_mpi.f90" sweep.f90 \
!         $(pkg-config --libs px_mpi_openmpi)
!
! Every rank of the communicator calls px_mpi_job_run. It is an integer handle: MPI_COMM_WORLD of
! `use mpi`, MPI_COMM_WORLD%MPI_VAL of `use mpi_f08`.
module px_mpi
    use, intrinsic :: iso_c_binding, only: c_int, c_ptr
    use :: px, only: px_check, px_job
    implicit none
    private
    public :: px_mpi_job_run

    interface
        ! An MPI_Fint is a default integer.
        integer(c_int) function c_mpi_job_run(comm, job) bind(c, name='px_mpi_job_run_f')
            import :: c_int, c_ptr
            integer(c_int), value :: comm
            type(c_ptr), value :: job
        end function c_mpi_job_run
    end interface

contains
    recursive subroutine px_mpi_job_run(comm, job, ierr)
        integer, intent(in) :: comm
        type(px_job), intent(in) :: job
        integer, intent(out), optional :: ierr

        call px_check(int(c_mpi_job_run(int(comm, c_int), job%handle)), ierr)
    end subroutine px_mpi_job_run
end module px_mpi
