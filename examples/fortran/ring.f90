! Adds up numbers, one a line. Each rank adds those of its own chunks; then the sums go round: rank
! 0 sends its own to rank 1, which adds its own, and so on until rank 0 has all and prints it.
!
!     gfortran -std=f2008 -O2 -o ring "$(pkg-config --variable=fortrandir px)/px.f90" \
!         ring.f90 $(pkg-config --libs px)
!
!     seq 1000000 | pxrun -np 8 --contract px ./ring
!
! What is sent is the memory of two numbers, so all hosts must be of one kind.
program ring
    use, intrinsic :: iso_fortran_env, only: int64
    use px
    implicit none
    integer, parameter :: tag = 0, own_tag = 1, for_ever = -1
    type(px_chunk) :: chunk
    character(len=:), allocatable :: line
    integer(int64) :: own(2), all(2), number
    integer :: rank, ranks, ierr

    own = 0
    all = 0
    call px_init()
    rank = px_rank()
    ranks = px_size()
    ! From the first message of a job on, be it to oneself, no copy is started again in place of one
    ! that was killed, whose sum is gone with its memory. Alone there are no messages.
    call px_send(rank, own_tag, all, for_ever, ierr)
    if (ierr /= PX_ERR_MODE) then
        call px_check(ierr)
        call px_recv(rank, own_tag, all, for_ever)
    end if
    do while (px_chunk_next(chunk))
        do while (px_record_next(chunk, line))
            read (line, *) number
            own = own + [number, 1_int64]
        end do
        call px_chunk_release(chunk, PX_COMMIT)
    end do

    if (rank > 0) call px_recv(rank - 1, tag, all, for_ever)
    all = all + own
    if (ranks > 1) call px_send(mod(rank + 1, ranks), tag, all, for_ever)
    if (ranks > 1 .and. rank == 0) call px_recv(ranks - 1, tag, all, for_ever)
    if (rank == 0) print '(i0, a, i0, a)', all(1), ' in ', all(2), ' lines'
    call px_finalize()
end program ring
