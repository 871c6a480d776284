! How bright are pictures? Each line of the input names a file, a binary PGM or PPM; its line of
! the output adds how many of its pixels are in each eighth from black to white.
!
!     gfortran -std=f2008 -O2 -o histogram "$(pkg-config --variable=fortrandir px)/px.f90" \
!         histogram.f90 $(pkg-config --libs px)
!
!     find pictures -name '*.p[gp]m' | pxrun -k --contract px --deal dynamic ./histogram
program histogram
    use, intrinsic :: iso_fortran_env, only: error_unit, int64
    use px
    implicit none
    integer, parameter :: largest_side = 65535
    type(px_chunk) :: chunk
    character(len=:), allocatable :: name
    integer :: how
    logical :: failed

    failed = .false.
    call px_init()
    do while (px_chunk_next(chunk))
        how = PX_COMMIT
        do while (px_record_next(chunk, name))
            how = emit_histogram(chunk, name)
            if (how == PX_FAIL) exit
        end do
        failed = failed .or. how == PX_FAIL
        call px_chunk_release(chunk, how)
    end do
    call px_finalize()
    if (failed) stop 1

contains
    integer function emit_histogram(chunk, name)
        type(px_chunk), intent(in) :: chunk
        character(len=*), intent(in) :: name
        character(len=200) :: counts
        character(len=:), allocatable :: wrong
        integer(int64) :: bins(8)
        integer :: unit, problem

        open (newunit=unit, file=name, access='stream', form='unformatted', action='read', &
            status='old', iostat=problem)
        if (problem /= 0) then
            wrong = 'it cannot be opened'
        else
            wrong = count_pixels(unit, bins)
            close (unit)
        end if
        if (wrong /= '') then
            write (error_unit, '(4a)') 'histogram: ', name, ': ', wrong
            emit_histogram = PX_FAIL
        else
            write (counts, '(8(1x, i0))') bins
            call px_emit(chunk, name//trim(counts)//achar(10))
            emit_histogram = PX_COMMIT
        end if
    end function emit_histogram

    ! Counts the pixels of a picture. Returns what is wrong with it, nothing where nothing is.
    function count_pixels(unit, bins) result(wrong)
        integer, intent(in) :: unit
        integer(int64), intent(out) :: bins(8)
        character(len=:), allocatable :: wrong
        character(len=2) :: magic
        character(len=1), allocatable :: row(:, :)
        integer :: width, height, white, weights(3), problem, x, y, bin

        bins = 0
        magic = ''
        read (unit, iostat=problem) magic
        width = number(unit)
        height = number(unit)
        white = number(unit)
        weights = [299, 587, 114]
        if ((magic /= 'P5' .and. magic /= 'P6') .or. min(width, height) < 1 .or. &
            max(width, height) > largest_side .or. white /= 255) then
            wrong = 'not a binary PGM or PPM of 8 bits'
            return
        end if
        wrong = ''
        allocate (row(merge(3, 1, magic == 'P6'), width))
        if (magic == 'P5') weights(1) = 1000
        do y = 1, height
            read (unit, iostat=problem) row
            if (problem /= 0) then
                wrong = 'it ends before its last pixel'
                return
            end if
            do x = 1, width
                bin = sum(weights(:size(row, 1))*ichar(row(:, x)))/1000*8/256 + 1
                bins(bin) = bins(bin) + 1
            end do
        end do
    end function count_pixels

    ! The next number of a header, and the one byte that ends it; -1 where there is none.
    integer function number(unit)
        integer, intent(in) :: unit
        character(len=*), parameter :: digits = '0123456789'
        character(len=1) :: byte

        byte = next(unit)
        do while (is_space(byte) .or. byte == '#')
            if (byte == '#') then
                do while (byte /= achar(10) .and. byte /= achar(0))
                    byte = next(unit)
                end do
            end if
            byte = next(unit)
        end do
        number = merge(0, -1, index(digits, byte) > 0)
        do while (index(digits, byte) > 0 .and. number <= largest_side)
            number = number*10 + index(digits, byte) - 1
            byte = next(unit)
        end do
        if (.not. is_space(byte)) number = -1
    end function number

    ! The next byte of a header, zero at the end of the file.
    character(len=1) function next(unit)
        integer, intent(in) :: unit
        integer :: problem

        read (unit, iostat=problem) next
        if (problem /= 0) next = achar(0)
    end function next

    logical function is_space(byte)
        character(len=1), intent(in) :: byte

        is_space = byte == ' ' .or. (iachar(byte) >= 9 .and. iachar(byte) <= 13)
    end function is_space
end program histogram
