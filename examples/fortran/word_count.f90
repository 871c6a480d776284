! Counts lines, words and bytes as wc does, and emits the three numbers for each chunk.
!
!     gfortran -std=f2008 -O2 -o word_count "$(pkg-config --variable=fortrandir px)/px.f90" \
!         word_count.f90 $(pkg-config --libs px)
!
!     pxrun --contract px ./word_count < text |
!         awk '{ lines += $1; words += $2; bytes += $3 } END { print lines, words, bytes }'
program word_count
    use px
    implicit none
    type(px_chunk) :: chunk

    call px_init()
    do while (px_chunk_next(chunk))
        call count_words(chunk)
        call px_chunk_release(chunk, PX_COMMIT)
    end do
    call px_finalize()

contains
    subroutine count_words(chunk)
        use, intrinsic :: iso_fortran_env, only: int64
        type(px_chunk), intent(in) :: chunk
        ! Blank, and from tab to carriage return
        character(len=*), parameter :: spaces = ' '//achar(9)//achar(10)//achar(11)//achar(12)// &
            achar(13)
        character(len=1), pointer :: text(:)
        character(len=80) :: counts
        integer(int64) :: lines, words, at
        logical :: inside, letter

        call px_chunk_data(chunk, text)
        lines = 0
        words = 0
        inside = .false.
        do at = 1, size(text, kind=int64)
            letter = index(spaces, text(at)) == 0
            if (letter .and. .not. inside) words = words + 1
            if (text(at) == achar(10)) lines = lines + 1
            inside = letter
        end do
        write (counts, '(i0, 2(1x, i0))') lines, words, px_chunk_length(chunk)
        call px_emit(chunk, trim(counts)//achar(10))
    end subroutine count_words
end program word_count
