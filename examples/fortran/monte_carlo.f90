! A sweep: how much of a cube is inside of the ball that touches its sides, by dimension?
!
!     gfortran -std=f2008 -O2 -o monte_carlo "$(pkg-config --variable=fortrandir px)/px.f90" \
!         monte_carlo.f90 $(pkg-config --libs px)
!
!     pxrun -k --contract px --chunk-records 1 --deal dynamic ./monte_carlo < sweep.txt
!
! Each line of the input is a case, `DIMENSION POINTS`, to which the result adds how many of the
! points are inside. The random numbers of a case come from its line alone, so a result is the
! same wherever it is computed, and when it has to be computed again. All is whole numbers.
program monte_carlo
    use, intrinsic :: iso_fortran_env, only: error_unit, int64
    use px
    implicit none
    ! Random numbers: two generators together (P. L'Ecuyer, CACM 31:6, 1988).
    type :: pair
        integer(int64) :: first = 1, second = 1
    end type pair
    type(px_chunk) :: chunk
    character(len=:), allocatable :: line
    integer :: how
    logical :: failed

    failed = .false.
    call px_init()
    do while (px_chunk_next(chunk))
        how = PX_COMMIT
        do while (px_record_next(chunk, line))
            how = run(chunk, line)
            if (how == PX_FAIL) exit
        end do
        failed = failed .or. how == PX_FAIL
        call px_chunk_release(chunk, how)
    end do
    call px_finalize()
    if (failed) stop 1

contains
    integer function run(chunk, line)
        type(px_chunk), intent(in) :: chunk
        character(len=*), intent(in) :: line
        character(len=80) :: result
        integer :: dimension, problem
        integer(int64) :: points

        read (line, *, iostat=problem) dimension, points
        if (problem == 0 .and. len(line) < 64) then
            if (1 <= dimension .and. dimension <= 1000 .and. 0 <= points) then
                write (result, '(i0, 2(1x, i0))') dimension, points, &
                    points_inside(line, dimension, points)
                call px_emit(chunk, trim(result)//achar(10))
                run = PX_COMMIT
                return
            end if
        end if
        write (error_unit, '(3a)') 'monte_carlo: a case must be `DIMENSION POINTS`, found `', &
            line(:min(64, len(line))), '`'
        run = PX_FAIL
    end function run

    integer(int64) function points_inside(line, dimension, points)
        character(len=*), intent(in) :: line
        integer, intent(in) :: dimension
        integer(int64), intent(in) :: points
        type(pair) :: random
        integer(int64) :: point, square
        integer :: axis

        random = seeded(line)
        points_inside = 0
        do point = 1, points
            square = 0
            do axis = 1, dimension
                square = square + coordinate(random)**2
            end do
            if (square < 2_int64**48) points_inside = points_inside + 1
        end do
    end function points_inside

    type(pair) function seeded(line)
        character(len=*), intent(in) :: line
        integer :: at

        do at = 1, len(line)
            seeded%first = 1 + mod(seeded%first*257 + ichar(line(at:at)), 2147483562_int64)
            seeded%second = 1 + mod(seeded%second*263 + ichar(line(at:at)), 2147483398_int64)
        end do
    end function seeded

    ! The next coordinate, 0 to 2^24 - 1.
    integer(int64) function coordinate(random)
        type(pair), intent(inout) :: random

        random%first = mod(random%first*40014, 2147483563_int64)
        random%second = mod(random%second*40692, 2147483399_int64)
        coordinate = random%first - random%second
        if (coordinate < 1) coordinate = coordinate + 2147483562_int64
        coordinate = coordinate/128
    end function coordinate
end program monte_carlo
