! Emits its input as it is: whole chunks or record by record, as each type that there is.
program records
    use, intrinsic :: iso_fortran_env, only: int8
    use px
    implicit none
    type(px_chunk) :: chunk
    character(len=16) :: way
    character(len=:), allocatable :: text
    character(len=1), pointer :: characters(:)
    integer(int8), pointer :: bytes(:)
    character(len=1), allocatable :: double(:)
    integer(int8), allocatable :: twice(:)
    integer :: half

    call get_command_argument(1, way)
    call px_init()
    do while (px_chunk_next(chunk))
        select case (way)
        case ('text')
            do while (px_record_next(chunk, text))
                call px_emit(chunk, text//new_line('a'))
            end do
        case ('characters')
            do while (px_record_next(chunk, characters))
                call px_emit(chunk, characters)
                call px_emit(chunk, new_line('a'))
            end do
        case ('bytes')
            do while (px_record_next(chunk, bytes))
                call px_emit(chunk, bytes)
                call px_emit(chunk, [10_int8])
            end do
        case ('chunk characters')
            call px_chunk_data(chunk, characters)
            call px_emit(chunk, characters)
        case ('chunk bytes')
            call px_chunk_data(chunk, bytes)
            call px_emit(chunk, bytes)
        case ('every second')
            ! Not contiguous: each one is there twice.
            call px_chunk_data(chunk, bytes)
            call px_chunk_data(chunk, characters)
            half = size(bytes)/2
            twice = reshape(spread(bytes, 1, 2), [2*size(bytes)])
            call px_emit(chunk, twice(:2*half:2))
            double = reshape(spread(characters, 1, 2), [2*size(characters)])
            call px_emit(chunk, double(2*half + 1::2))
        case default
            error stop 'no such way'
        end select
        call px_chunk_release(chunk, PX_COMMIT)
    end do
    call px_finalize()
end program records
