! Two ranks: rank 0 sends one message of each type, rank 1 sends what it got back, and rank 0 sees
! that it is the same.
program talk
    use, intrinsic :: iso_fortran_env, only: int8, int64, real64
    use px
    implicit none
    integer, parameter :: second = 60000
    type(px_chunk) :: chunk
    type(px_message) :: message
    integer(int8) :: bytes(3)
    integer :: numbers(2), ierr
    integer(int64) :: long(2)
    real(real64) :: reals(2, 3)
    character(len=8) :: text

    call px_init()
    do while (px_chunk_next(chunk))
        call px_chunk_release(chunk, PX_COMMIT)
    end do
    if (px_rank() == 0) then
        call px_send(1, 1, [1_int8, -2_int8, 127_int8], second)
        call px_send(1, 2, [huge(0), -7], second)
        call px_send(1, 3, [huge(0_int64), -1_int64], second)
        call px_send(1, 4, [0.1_real64, -huge(0.0_real64)], second)
        call px_send(1, 5, 'blanks  ', second)
        call px_send(1, 6, [integer ::], second)

        call px_recv(1, 1, bytes, second)
        call holds(all(bytes == [1_int8, -2_int8, 127_int8]), 'bytes')
        call px_recv(1, 2, numbers, second, message)
        call holds(all(numbers == [huge(0), -7]), 'integers')
        call holds(message%source == 1 .and. message%tag == 2, 'who sent what')
        call holds(message%length == 2*storage_size(0)/8, 'their length in bytes')
        call px_recv(1, 3, long, second)
        call holds(all(long == [huge(0_int64), -1_int64]), 'long integers')
        ! A row of a matrix is not contiguous.
        reals = 0
        call px_recv(1, 4, reals(1, 1:2), second)
        call holds(all(abs(reals(1, 1:2) - [0.1_real64, -huge(0.0_real64)]) <= 0), 'reals')
        call holds(all(abs(reals(2, :)) <= 0), 'what is between them')
        text = 'nothing'
        call px_recv(PX_ANY_SOURCE, PX_ANY_TAG, text, second, message)
        call holds(text == 'blanks' .and. message%length == 8, 'text with its blanks')
        call px_recv(1, 6, numbers, second, message)
        call holds(message%length == 0, 'an empty message')
        call px_recv(1, 7, text, 0, ierr=ierr)
        call holds(ierr == PX_ERR_TIMEOUT .or. ierr == PX_ERR_PEER_GONE, 'no further message')
        print '(a)', 'all came back'
    else
        call px_probe(0, 1, second, message)
        call holds(message%source == 0 .and. message%length == 3, 'what px_probe tells')
        call px_recv(0, 1, bytes(:2), second, message, ierr)
        call holds(ierr == PX_ERR_TRUNCATED .and. message%length == 3, 'too small a buffer')
        call px_recv(0, 1, bytes, second)
        call px_send(0, 1, bytes, second)
        call px_recv(0, 2, numbers, second)
        call px_send(0, 2, numbers, second)
        call px_recv(0, 3, long, second)
        call px_send(0, 3, long, second)
        call px_recv(0, 4, reals(:, 1), second)
        call px_send(0, 4, reals(:, 1), second)
        call px_recv(0, 5, text, second)
        call px_send(0, 5, text, second)
        call px_recv(0, 6, numbers(1:0), second)
        call px_send(0, 6, numbers(1:0), second)
    end if
    call px_finalize()

contains
    subroutine holds(it, what)
        logical, intent(in) :: it
        character(len=*), intent(in) :: what

        if (.not. it) call px_abort(3, 'not as wanted: '//what)
    end subroutine holds
end program talk
