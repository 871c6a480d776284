! libpx for Fortran 2008. Compile this file with the compiler of your program, whose .mod files
! no other compiler reads:
!
!     gfortran -c "$(pkg-config --variable=fortrandir px)/px.f90"
!     gfortran -o count count.f90 px.o $(pkg-config --libs px)
!
! A program that takes chunks and emits output for each:
!
!     call px_init()
!     do while (px_chunk_next(chunk))
!         do while (px_record_next(chunk, line))
!             call px_emit(chunk, line // new_line('a'))
!         end do
!         call px_chunk_release(chunk, PX_COMMIT)
!     end do
!     call px_finalize()
!
! What a procedure does, who may call it and when it fails is said in px.h and the manual, by the
! same names. Of Fortran's own are:
!
! * Errors. The last argument of every procedure but px_strerror is `ierr`, optional: PX_OK or what
!   went wrong.
!   Without it an error prints px_last_error() and stops the program, as ERROR STOP does.
!   px_chunk_next and px_record_next are true as long as there is one more. Where they are false,
!   `ierr` is PX_END or an error.
! * Numbers. Lengths, offsets, sizes and numbers of chunks are integer(int64), in bytes where it
!   is bytes; all else is default integer. Timeouts are in milliseconds, -1 is for ever.
! * Text. Names and paths are trimmed, and so are the words of a command, since all elements of an
!   array have one length. Data never is, and a value of an option is as it is.
! * Data. px_chunk_data and px_record_next set a pointer to an array, `character(len=1)` or
!   integer(int8), without a copy. It is valid until the chunk is released, must not be used after
!   that, and must not be written to. px_record_next gives a record to a `character(len=:), allocatable` too, as a copy.
! * Messages. px_send and px_recv take arrays of integer(int8), integer, integer(int64) and
!   real(real64), and text. The length in a px_message is in bytes.
! * Callbacks are C's, bind(c), of the interfaces px_chunk_callback and px_output_callback.
!   px_chunk(handle) is the chunk that one is called for. `user` is handed to it as it is.
! * Threads. What several threads may run at once must be `recursive` in Fortran 2008, even though
!   it never calls itself: all of this module is, and a chunk callback has to be.
!
! The module px_mpi, which is a file of its own, has px_mpi_job_run.

module px_c
    ! The C functions as they are. Programs use the module px below.
    use, intrinsic :: iso_c_binding, only: c_char, c_funptr, c_int, c_int64_t, c_ptr, c_size_t
    implicit none
    public

    type, bind(c) :: c_message
        integer(c_int) :: source = 0
        integer(c_int) :: tag = 0
        integer(c_size_t) :: length = 0
    end type c_message

    type, bind(c) :: c_result
        integer(c_int) :: status = 0
        integer(c_int64_t) :: chunks = 0
        integer(c_int64_t) :: input_bytes = 0
        integer(c_int64_t) :: output_bytes = 0
    end type c_result

    interface
        integer(c_int) function c_init(flags) bind(c, name='px_init')
            import :: c_int
            integer(c_int), value :: flags
        end function c_init

        integer(c_int) function c_finalize() bind(c, name='px_finalize')
            import :: c_int
        end function c_finalize

        integer(c_int) function c_rank() bind(c, name='px_rank')
            import :: c_int
        end function c_rank

        integer(c_int) function c_size() bind(c, name='px_size')
            import :: c_int
        end function c_size

        integer(c_int) function c_local_rank() bind(c, name='px_local_rank')
            import :: c_int
        end function c_local_rank

        integer(c_int) function c_local_size() bind(c, name='px_local_size')
            import :: c_int
        end function c_local_size

        type(c_ptr) function c_host() bind(c, name='px_host')
            import :: c_ptr
        end function c_host

        integer(c_int) function c_abort(status, why) bind(c, name='px_abort')
            import :: c_char, c_int
            integer(c_int), value :: status
            character(kind=c_char), intent(in) :: why(*)
        end function c_abort

        type(c_ptr) function c_version() bind(c, name='px_version')
            import :: c_ptr
        end function c_version

        type(c_ptr) function c_strerror(status) bind(c, name='px_strerror')
            import :: c_int, c_ptr
            integer(c_int), value :: status
        end function c_strerror

        type(c_ptr) function c_last_error() bind(c, name='px_last_error')
            import :: c_ptr
        end function c_last_error

        integer(c_int) function c_chunk_next(chunk) bind(c, name='px_chunk_next')
            import :: c_int, c_ptr
            type(c_ptr), intent(out) :: chunk
        end function c_chunk_next

        type(c_ptr) function c_chunk_data(chunk) bind(c, name='px_chunk_data')
            import :: c_ptr
            type(c_ptr), value :: chunk
        end function c_chunk_data

        integer(c_size_t) function c_chunk_length(chunk) bind(c, name='px_chunk_length')
            import :: c_ptr, c_size_t
            type(c_ptr), value :: chunk
        end function c_chunk_length

        integer(c_int64_t) function c_chunk_index(chunk) bind(c, name='px_chunk_index')
            import :: c_int64_t, c_ptr
            type(c_ptr), value :: chunk
        end function c_chunk_index

        integer(c_int64_t) function c_chunk_offset(chunk) bind(c, name='px_chunk_offset')
            import :: c_int64_t, c_ptr
            type(c_ptr), value :: chunk
        end function c_chunk_offset

        integer(c_int) function c_chunk_attempt(chunk) bind(c, name='px_chunk_attempt')
            import :: c_int, c_ptr
            type(c_ptr), value :: chunk
        end function c_chunk_attempt

        integer(c_int) function c_record_next(chunk, record, length) &
                bind(c, name='px_record_next')
            import :: c_int, c_ptr, c_size_t
            type(c_ptr), value :: chunk
            type(c_ptr), intent(out) :: record
            integer(c_size_t), intent(out) :: length
        end function c_record_next

        integer(c_int) function c_emit(chunk, bytes, length) bind(c, name='px_emit')
            import :: c_int, c_ptr, c_size_t
            type(c_ptr), value :: chunk, bytes
            integer(c_size_t), value :: length
        end function c_emit

        integer(c_int) function c_chunk_release(chunk, how) bind(c, name='px_chunk_release')
            import :: c_int, c_ptr
            type(c_ptr), value :: chunk
            integer(c_int), value :: how
        end function c_chunk_release

        integer(c_int) function c_send(rank, tag, bytes, length, timeout_ms) &
                bind(c, name='px_send')
            import :: c_int, c_ptr, c_size_t
            integer(c_int), value :: rank, tag
            type(c_ptr), value :: bytes
            integer(c_size_t), value :: length
            integer(c_int), value :: timeout_ms
        end function c_send

        integer(c_int) function c_recv(rank, tag, buffer, capacity, timeout_ms, message) &
                bind(c, name='px_recv')
            import :: c_int, c_message, c_ptr, c_size_t
            integer(c_int), value :: rank, tag
            type(c_ptr), value :: buffer
            integer(c_size_t), value :: capacity
            integer(c_int), value :: timeout_ms
            type(c_message), intent(inout) :: message
        end function c_recv

        integer(c_int) function c_probe(rank, tag, timeout_ms, message) bind(c, name='px_probe')
            import :: c_int, c_message
            integer(c_int), value :: rank, tag, timeout_ms
            type(c_message), intent(inout) :: message
        end function c_probe

        integer(c_int) function c_job_new(job) bind(c, name='px_job_new')
            import :: c_int, c_ptr
            type(c_ptr), intent(out) :: job
        end function c_job_new

        integer(c_int) function c_job_free(job) bind(c, name='px_job_free')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
        end function c_job_free

        integer(c_int) function c_job_input(job, path) bind(c, name='px_job_input')
            import :: c_char, c_int, c_ptr
            type(c_ptr), value :: job
            character(kind=c_char), intent(in) :: path(*)
        end function c_job_input

        integer(c_int) function c_job_records(job, records) bind(c, name='px_job_records')
            import :: c_char, c_int, c_ptr
            type(c_ptr), value :: job
            character(kind=c_char), intent(in) :: records(*)
        end function c_job_records

        integer(c_int) function c_job_chunk_size(job, bytes) bind(c, name='px_job_chunk_size')
            import :: c_int, c_int64_t, c_ptr
            type(c_ptr), value :: job
            integer(c_int64_t), value :: bytes
        end function c_job_chunk_size

        integer(c_int) function c_job_chunk_records(job, records) &
                bind(c, name='px_job_chunk_records')
            import :: c_int, c_int64_t, c_ptr
            type(c_ptr), value :: job
            integer(c_int64_t), value :: records
        end function c_job_chunk_records

        integer(c_int) function c_job_ranks(job, ranks) bind(c, name='px_job_ranks')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
            integer(c_int), value :: ranks
        end function c_job_ranks

        integer(c_int) function c_job_deal(job, deal) bind(c, name='px_job_deal')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
            integer(c_int), value :: deal
        end function c_job_deal

        integer(c_int) function c_job_order(job, order) bind(c, name='px_job_order')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
            integer(c_int), value :: order
        end function c_job_order

        integer(c_int) function c_job_command(job, argv) bind(c, name='px_job_command')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
            type(c_ptr), intent(in) :: argv(*)
        end function c_job_command

        integer(c_int) function c_job_callback(job, callback, user) &
                bind(c, name='px_job_callback')
            import :: c_funptr, c_int, c_ptr
            type(c_ptr), value :: job
            type(c_funptr), value :: callback
            type(c_ptr), value :: user
        end function c_job_callback

        integer(c_int) function c_job_output_path(job, path) bind(c, name='px_job_output_path')
            import :: c_char, c_int, c_ptr
            type(c_ptr), value :: job
            character(kind=c_char), intent(in) :: path(*)
        end function c_job_output_path

        integer(c_int) function c_job_output_fd(job, fd) bind(c, name='px_job_output_fd')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
            integer(c_int), value :: fd
        end function c_job_output_fd

        integer(c_int) function c_job_output_callback(job, callback, user) &
                bind(c, name='px_job_output_callback')
            import :: c_funptr, c_int, c_ptr
            type(c_ptr), value :: job
            type(c_funptr), value :: callback
            type(c_ptr), value :: user
        end function c_job_output_callback

        integer(c_int) function c_job_errors_fd(job, fd) bind(c, name='px_job_errors_fd')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
            integer(c_int), value :: fd
        end function c_job_errors_fd

        integer(c_int) function c_job_hosts(job, hosts) bind(c, name='px_job_hosts')
            import :: c_char, c_int, c_ptr
            type(c_ptr), value :: job
            character(kind=c_char), intent(in) :: hosts(*)
        end function c_job_hosts

        integer(c_int) function c_job_hostfile(job, path) bind(c, name='px_job_hostfile')
            import :: c_char, c_int, c_ptr
            type(c_ptr), value :: job
            character(kind=c_char), intent(in) :: path(*)
        end function c_job_hostfile

        integer(c_int) function c_job_option(job, name, value) bind(c, name='px_job_option')
            import :: c_char, c_int, c_ptr
            type(c_ptr), value :: job
            character(kind=c_char), intent(in) :: name(*)
            type(c_ptr), value :: value
        end function c_job_option

        integer(c_int) function c_job_run(job) bind(c, name='px_job_run')
            import :: c_int, c_ptr
            type(c_ptr), value :: job
        end function c_job_run

        integer(c_int) function c_job_result(job, result) bind(c, name='px_job_result')
            import :: c_int, c_ptr, c_result
            type(c_ptr), value :: job
            type(c_result), intent(inout) :: result
        end function c_job_result

        integer(c_size_t) function c_strlen(text) bind(c, name='strlen')
            import :: c_ptr, c_size_t
            type(c_ptr), value :: text
        end function c_strlen
    end interface
end module px_c

module px
    use, intrinsic :: iso_c_binding, only: c_associated, c_char, c_f_pointer, c_funloc, c_int, &
        c_int64_t, c_loc, c_null_char, c_null_ptr, c_ptr, c_size_t
    use, intrinsic :: iso_fortran_env, only: error_unit, int8, int64, real64
    use :: px_c
    implicit none
    private

    ! Statuses
    integer, parameter, public :: PX_OK = 0
    integer, parameter, public :: PX_END = 1
    integer, parameter, public :: PX_ERR_ARGUMENT = -1
    integer, parameter, public :: PX_ERR_STATE = -2
    integer, parameter, public :: PX_ERR_NOT_FED = -3
    integer, parameter, public :: PX_ERR_FOREIGN_WORLD = -4
    integer, parameter, public :: PX_ERR_MODE = -5
    integer, parameter, public :: PX_ERR_HANDLE = -6
    integer, parameter, public :: PX_ERR_POISONED = -7
    integer, parameter, public :: PX_ERR_FORK = -8
    integer, parameter, public :: PX_ERR_INPUT_CHANGED = -9
    integer, parameter, public :: PX_ERR_HELD = -10
    integer, parameter, public :: PX_ERR_PEER_GONE = -11
    integer, parameter, public :: PX_ERR_TRUNCATED = -12
    integer, parameter, public :: PX_ERR_TIMEOUT = -13
    integer, parameter, public :: PX_ERR_UNSUPPORTED = -14
    integer, parameter, public :: PX_ERR_MPI_STATE = -15
    integer, parameter, public :: PX_ERR_MPI_THREAD = -16
    integer, parameter, public :: PX_ERR_MPI = -17
    integer, parameter, public :: PX_ERR_HELPER = -18
    integer, parameter, public :: PX_ERR_JOB = -19
    integer, parameter, public :: PX_ERR_SYSTEM = -20
    integer, parameter, public :: PX_ERR_MEMORY = -21
    integer, parameter, public :: PX_ERR_PROTOCOL = -22
    integer, parameter, public :: PX_ERR_BUSY = -23
    integer, parameter, public :: PX_ERR_INTERNAL = -24

    integer, parameter, public :: PX_CHUNKS_MAX = 8
    ! How a chunk is released, and what a px_chunk_callback returns
    integer, parameter, public :: PX_COMMIT = 0
    integer, parameter, public :: PX_FAIL = 1
    integer, parameter, public :: PX_ANY_SOURCE = -1
    integer, parameter, public :: PX_ANY_TAG = -1
    integer, parameter, public :: PX_DEAL_ROUND_ROBIN = 0
    integer, parameter, public :: PX_DEAL_BLOCK = 1
    integer, parameter, public :: PX_DEAL_DYNAMIC = 2
    integer, parameter, public :: PX_ORDER_NONE = 0
    integer, parameter, public :: PX_ORDER_INPUT = 1
    integer, parameter, public :: PX_ORDER_RANK = 2

    ! A run of whole records of the input
    type, public :: px_chunk
        type(c_ptr) :: handle = c_null_ptr
    end type px_chunk

    ! A job that the program itself runs
    type, public :: px_job
        type(c_ptr) :: handle = c_null_ptr
    end type px_job

    ! Whose message it is, and its length in bytes
    type, public :: px_message
        integer :: source = 0
        integer :: tag = 0
        integer(int64) :: length = 0
    end type px_message

    ! What a job came to; the status is the exit status that pxrun would have had
    type, public :: px_result
        integer :: status = 0
        integer(int64) :: chunks = 0
        integer(int64) :: input_bytes = 0
        integer(int64) :: output_bytes = 0
    end type px_result

    abstract interface
        ! Returns PX_COMMIT or PX_FAIL, and does not release the chunk.
        integer(c_int) function px_chunk_callback(handle, user) bind(c)
            import :: c_int, c_ptr
            type(c_ptr), value :: handle, user
        end function px_chunk_callback

        ! Returns 0 to go on. The bytes are valid until then.
        integer(c_int) function px_output_callback(bytes, length, user) bind(c)
            import :: c_int, c_ptr, c_size_t
            type(c_ptr), value :: bytes
            integer(c_size_t), value :: length
            type(c_ptr), value :: user
        end function px_output_callback
    end interface
    public :: px_chunk_callback, px_output_callback

    ! px_init([private_copies] [, ierr]); with .true. chunks are private copies, PX_INIT_PRIVATE in C
    interface px_init
        module procedure init_plain, init_private
    end interface px_init
    ! px_finalize([ierr]); px_abort(status [, why] [, ierr])
    public :: px_init, px_finalize, px_abort
    ! All of one optional argument, ierr
    public :: px_rank, px_size, px_local_rank, px_local_size, px_host, px_version, px_last_error
    ! px_strerror(status); px_check(status [, ierr]), for a status that is at hand
    public :: px_strerror, px_check

    ! Of chunk [, ierr] all, and px_chunk_release(chunk, PX_COMMIT or PX_FAIL [, ierr])
    public :: px_chunk_next, px_chunk_length, px_chunk_index, px_chunk_offset, px_chunk_attempt
    public :: px_chunk_release

    ! px_chunk_data(chunk, array pointer [, ierr])
    interface px_chunk_data
        module procedure chunk_characters, chunk_bytes
    end interface px_chunk_data

    ! px_record_next(chunk, array pointer or allocatable text [, ierr])
    interface px_record_next
        module procedure record_characters, record_bytes, record_text
    end interface px_record_next

    ! px_emit(chunk, text or array [, ierr])
    interface px_emit
        module procedure emit_text, emit_characters, emit_bytes
    end interface px_emit
    public :: px_chunk_data, px_record_next, px_emit

    ! px_send(rank, tag, text or array, timeout_ms [, ierr])
    interface px_send
        module procedure send_text, send_bytes, send_integers, send_long_integers, send_reals
    end interface px_send

    ! px_recv(rank, tag, text or array, timeout_ms [, message] [, ierr])
    interface px_recv
        module procedure recv_text, recv_bytes, recv_integers, recv_long_integers, recv_reals
    end interface px_recv
    ! px_probe(rank, tag, timeout_ms, message [, ierr])
    public :: px_send, px_recv, px_probe

    ! Of job [, ierr] are px_job_new, px_job_free and px_job_run. The others have what they set in
    ! between: px_job_command an array of words, px_job_callback and px_job_output_callback a
    ! procedure [, user], px_job_option a name [, value], px_job_result a px_result.
    public :: px_job_new, px_job_free, px_job_input, px_job_records, px_job_chunk_size
    public :: px_job_chunk_records, px_job_ranks, px_job_deal, px_job_order, px_job_command
    public :: px_job_callback, px_job_output_path, px_job_output_fd, px_job_output_callback
    public :: px_job_errors_fd, px_job_hosts, px_job_hostfile, px_job_option
    public :: px_job_run, px_job_result

contains
    ! ---- Statuses and text

    recursive subroutine px_check(status, ierr)
        integer, intent(in) :: status
        integer, intent(out), optional :: ierr
        character(len=:), allocatable :: text

        if (present(ierr)) then
            ierr = status
        else if (status /= PX_OK) then
            text = px_last_error()
            if (text == '') text = px_strerror(status)
            write (error_unit, '(2a)') 'libpx: ', text
            error stop 1
        end if
    end subroutine px_check

    ! Whether there was one more. The end is no error.
    recursive logical function more(status, ierr)
        integer(c_int), intent(in) :: status
        integer, intent(out), optional :: ierr

        more = status == PX_OK
        if (status /= PX_END) then
            call px_check(int(status), ierr)
        else if (present(ierr)) then
            ierr = PX_END
        end if
    end function more

    ! A number that is a status where it is negative.
    recursive integer function counted(number, ierr)
        integer(c_int), intent(in) :: number
        integer, intent(out), optional :: ierr

        counted = int(number)
        call px_check(min(PX_OK, counted), ierr)
    end function counted

    ! The text of C at an address.
    recursive function text_at(address) result(text)
        type(c_ptr), intent(in) :: address
        character(len=:), allocatable :: text

        text = text_of(address, c_strlen(address))
    end function text_at

    ! So many bytes at an address.
    recursive function text_of(address, length) result(text)
        type(c_ptr), intent(in) :: address
        integer(c_size_t), intent(in) :: length
        character(len=length) :: text
        character(kind=c_char), pointer :: bytes(:)
        integer(c_size_t) :: i

        call c_f_pointer(address, bytes, [length])
        do i = 1, length
            text(i:i) = bytes(i)
        end do
    end function text_of

    ! A name or path as C has it.
    recursive pure function name_of(text) result(name)
        character(len=*), intent(in) :: text
        character(len=len_trim(text) + 1) :: name

        name = trim(text)//c_null_char
    end function name_of

    recursive function px_strerror(status) result(text)
        integer, intent(in) :: status
        character(len=:), allocatable :: text

        text = text_at(c_strerror(int(status, c_int)))
    end function px_strerror

    recursive function px_last_error(ierr) result(text)
        integer, intent(out), optional :: ierr
        character(len=:), allocatable :: text

        text = text_at(c_last_error())
        if (present(ierr)) ierr = PX_OK
    end function px_last_error

    recursive function px_version(ierr) result(text)
        integer, intent(out), optional :: ierr
        character(len=:), allocatable :: text

        text = text_at(c_version())
        if (present(ierr)) ierr = PX_OK
    end function px_version

    ! ---- World

    recursive subroutine init_plain(ierr)
        integer, intent(out), optional :: ierr

        call init_private(.false., ierr)
    end subroutine init_plain

    recursive subroutine init_private(private_copies, ierr)
        logical, intent(in) :: private_copies
        integer, intent(out), optional :: ierr
        integer(c_int), parameter :: PX_INIT_PRIVATE = 1

        call px_check(int(c_init(merge(PX_INIT_PRIVATE, 0_c_int, private_copies))), ierr)
    end subroutine init_private

    recursive subroutine px_finalize(ierr)
        integer, intent(out), optional :: ierr

        call px_check(int(c_finalize()), ierr)
    end subroutine px_finalize

    recursive subroutine px_abort(status, why, ierr)
        integer, intent(in) :: status
        character(len=*), intent(in), optional :: why
        integer, intent(out), optional :: ierr

        if (present(why)) then
            call px_check(int(c_abort(int(status, c_int), why//c_null_char)), ierr)
        else
            call px_check(int(c_abort(int(status, c_int), c_null_char)), ierr)
        end if
    end subroutine px_abort

    recursive integer function px_rank(ierr)
        integer, intent(out), optional :: ierr

        px_rank = counted(c_rank(), ierr)
    end function px_rank

    recursive integer function px_size(ierr)
        integer, intent(out), optional :: ierr

        px_size = counted(c_size(), ierr)
    end function px_size

    recursive integer function px_local_rank(ierr)
        integer, intent(out), optional :: ierr

        px_local_rank = counted(c_local_rank(), ierr)
    end function px_local_rank

    recursive integer function px_local_size(ierr)
        integer, intent(out), optional :: ierr

        px_local_size = counted(c_local_size(), ierr)
    end function px_local_size

    recursive function px_host(ierr) result(host)
        integer, intent(out), optional :: ierr
        character(len=:), allocatable :: host
        type(c_ptr) :: address

        host = ''
        address = c_host()
        if (c_associated(address)) then
            host = text_at(address)
            call px_check(PX_OK, ierr)
        else
            ! Why, the answer of another one says.
            call px_check(min(PX_ERR_STATE, int(c_rank())), ierr)
        end if
    end function px_host

    ! ---- Scatter

    recursive logical function px_chunk_next(chunk, ierr)
        type(px_chunk), intent(out) :: chunk
        integer, intent(out), optional :: ierr

        px_chunk_next = more(c_chunk_next(chunk%handle), ierr)
    end function px_chunk_next

    ! What is wrong with a chunk, where its length or its place cannot tell.
    recursive subroutine check_chunk(chunk, ierr)
        type(px_chunk), intent(in) :: chunk
        integer, intent(out), optional :: ierr

        call px_check(min(PX_OK, int(c_chunk_attempt(chunk%handle))), ierr)
    end subroutine check_chunk

    recursive subroutine chunk_characters(chunk, data, ierr)
        type(px_chunk), intent(in) :: chunk
        character(len=1, kind=c_char), pointer, intent(out) :: data(:)
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        nullify (data)
        address = c_chunk_data(chunk%handle)
        if (c_associated(address)) then
            call c_f_pointer(address, data, [c_chunk_length(chunk%handle)])
        end if
        call check_chunk(chunk, ierr)
    end subroutine chunk_characters

    recursive subroutine chunk_bytes(chunk, data, ierr)
        type(px_chunk), intent(in) :: chunk
        integer(int8), pointer, intent(out) :: data(:)
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        nullify (data)
        address = c_chunk_data(chunk%handle)
        if (c_associated(address)) then
            call c_f_pointer(address, data, [c_chunk_length(chunk%handle)])
        end if
        call check_chunk(chunk, ierr)
    end subroutine chunk_bytes

    recursive integer(int64) function px_chunk_length(chunk, ierr)
        type(px_chunk), intent(in) :: chunk
        integer, intent(out), optional :: ierr

        px_chunk_length = int(c_chunk_length(chunk%handle), int64)
        call check_chunk(chunk, ierr)
    end function px_chunk_length

    recursive integer(int64) function px_chunk_index(chunk, ierr)
        type(px_chunk), intent(in) :: chunk
        integer, intent(out), optional :: ierr

        px_chunk_index = c_chunk_index(chunk%handle)
        call check_chunk(chunk, ierr)
    end function px_chunk_index

    recursive integer(int64) function px_chunk_offset(chunk, ierr)
        type(px_chunk), intent(in) :: chunk
        integer, intent(out), optional :: ierr

        px_chunk_offset = c_chunk_offset(chunk%handle)
        call check_chunk(chunk, ierr)
    end function px_chunk_offset

    recursive integer function px_chunk_attempt(chunk, ierr)
        type(px_chunk), intent(in) :: chunk
        integer, intent(out), optional :: ierr

        px_chunk_attempt = counted(c_chunk_attempt(chunk%handle), ierr)
    end function px_chunk_attempt

    recursive logical function record_characters(chunk, record, ierr)
        type(px_chunk), intent(in) :: chunk
        character(len=1, kind=c_char), pointer, intent(out) :: record(:)
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address
        integer(c_size_t) :: length

        nullify (record)
        record_characters = more(c_record_next(chunk%handle, address, length), ierr)
        if (record_characters) call c_f_pointer(address, record, [length])
    end function record_characters

    recursive logical function record_bytes(chunk, record, ierr)
        type(px_chunk), intent(in) :: chunk
        integer(int8), pointer, intent(out) :: record(:)
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address
        integer(c_size_t) :: length

        nullify (record)
        record_bytes = more(c_record_next(chunk%handle, address, length), ierr)
        if (record_bytes) call c_f_pointer(address, record, [length])
    end function record_bytes

    recursive logical function record_text(chunk, record, ierr)
        type(px_chunk), intent(in) :: chunk
        character(len=:), allocatable, intent(inout) :: record
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address
        integer(c_size_t) :: length

        record_text = more(c_record_next(chunk%handle, address, length), ierr)
        if (record_text) record = text_of(address, length)
    end function record_text

    recursive subroutine px_chunk_release(chunk, how, ierr)
        type(px_chunk), intent(in) :: chunk
        integer, intent(in) :: how
        integer, intent(out), optional :: ierr

        call px_check(int(c_chunk_release(chunk%handle, int(how, c_int))), ierr)
    end subroutine px_chunk_release

    ! ---- Gather

    recursive subroutine emit_text(chunk, bytes, ierr)
        type(px_chunk), intent(in) :: chunk
        character(len=*), intent(in) :: bytes
        integer, intent(out), optional :: ierr

        call emit_of(chunk, bytes, len(bytes, c_size_t), ierr)
    end subroutine emit_text

    ! A pointer may be contiguous without saying so, and a dummy argument that does say so would
    ! be given a copy.
    recursive subroutine emit_characters(chunk, bytes, ierr)
        type(px_chunk), intent(in) :: chunk
        character(len=1, kind=c_char), intent(in), target :: bytes(:)
        integer, intent(out), optional :: ierr

        if (size(bytes, kind=c_size_t) == 0) then
            call emit_at(chunk, c_null_ptr, 0_c_size_t, ierr)
        else if (is_contiguous(bytes)) then
            call emit_at(chunk, c_loc(bytes(1)), size(bytes, kind=c_size_t), ierr)
        else
            call emit_characters(chunk, [bytes], ierr)
        end if
    end subroutine emit_characters

    recursive subroutine emit_bytes(chunk, bytes, ierr)
        type(px_chunk), intent(in) :: chunk
        integer(int8), intent(in), target :: bytes(:)
        integer, intent(out), optional :: ierr

        if (size(bytes, kind=c_size_t) == 0) then
            call emit_at(chunk, c_null_ptr, 0_c_size_t, ierr)
        else if (is_contiguous(bytes)) then
            call emit_at(chunk, c_loc(bytes(1)), size(bytes, kind=c_size_t), ierr)
        else
            call emit_bytes(chunk, [bytes], ierr)
        end if
    end subroutine emit_bytes

    recursive subroutine emit_of(chunk, bytes, length, ierr)
        type(px_chunk), intent(in) :: chunk
        character(kind=c_char), intent(in), target :: bytes(*)
        integer(c_size_t), intent(in) :: length
        integer, intent(out), optional :: ierr

        call emit_at(chunk, c_loc(bytes), length, ierr)
    end subroutine emit_of

    recursive subroutine emit_at(chunk, address, length, ierr)
        type(px_chunk), intent(in) :: chunk
        type(c_ptr), intent(in) :: address
        integer(c_size_t), intent(in) :: length
        integer, intent(out), optional :: ierr

        call px_check(int(c_emit(chunk%handle, address, length)), ierr)
    end subroutine emit_at

    ! ---- Point to point

    recursive subroutine send_text(rank, tag, bytes, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        character(len=*), intent(in) :: bytes
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr

        call send_characters(rank, tag, bytes, len(bytes, c_size_t), timeout_ms, ierr)
    end subroutine send_text

    recursive subroutine send_characters(rank, tag, bytes, length, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        character(kind=c_char), intent(in), target :: bytes(*)
        integer(c_size_t), intent(in) :: length
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr

        call send(rank, tag, c_loc(bytes), length, timeout_ms, ierr)
    end subroutine send_characters

    recursive subroutine send_bytes(rank, tag, array, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        integer(int8), intent(in), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        call send(rank, tag, address, size(array, kind=c_size_t), timeout_ms, ierr)
    end subroutine send_bytes

    recursive subroutine send_integers(rank, tag, array, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        integer, intent(in), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address
        integer(c_size_t) :: length

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        length = size(array, kind=c_size_t)*(storage_size(array)/8)
        call send(rank, tag, address, length, timeout_ms, ierr)
    end subroutine send_integers

    recursive subroutine send_long_integers(rank, tag, array, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        integer(int64), intent(in), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        call send(rank, tag, address, 8*size(array, kind=c_size_t), timeout_ms, ierr)
    end subroutine send_long_integers

    recursive subroutine send_reals(rank, tag, array, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        real(real64), intent(in), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        call send(rank, tag, address, 8*size(array, kind=c_size_t), timeout_ms, ierr)
    end subroutine send_reals

    recursive subroutine send(rank, tag, address, length, timeout_ms, ierr)
        integer, intent(in) :: rank, tag
        type(c_ptr), intent(in) :: address
        integer(c_size_t), intent(in) :: length
        integer, intent(in) :: timeout_ms
        integer, intent(out), optional :: ierr

        call px_check(int(c_send(int(rank, c_int), int(tag, c_int), address, length, &
            int(timeout_ms, c_int))), ierr)
    end subroutine send

    recursive subroutine recv_text(rank, tag, buffer, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        character(len=*), intent(inout) :: buffer
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr

        call recv_characters(rank, tag, buffer, len(buffer, c_size_t), timeout_ms, message, ierr)
    end subroutine recv_text

    recursive subroutine recv_characters(rank, tag, buffer, capacity, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        character(kind=c_char), intent(inout), target :: buffer(*)
        integer(c_size_t), intent(in) :: capacity
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr

        call recv(rank, tag, c_loc(buffer), capacity, timeout_ms, message, ierr)
    end subroutine recv_characters

    recursive subroutine recv_bytes(rank, tag, array, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        integer(int8), intent(inout), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        call recv(rank, tag, address, size(array, kind=c_size_t), timeout_ms, message, ierr)
    end subroutine recv_bytes

    recursive subroutine recv_integers(rank, tag, array, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        integer, intent(inout), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address
        integer(c_size_t) :: capacity

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        capacity = size(array, kind=c_size_t)*(storage_size(array)/8)
        call recv(rank, tag, address, capacity, timeout_ms, message, ierr)
    end subroutine recv_integers

    recursive subroutine recv_long_integers(rank, tag, array, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        integer(int64), intent(inout), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        call recv(rank, tag, address, 8*size(array, kind=c_size_t), timeout_ms, message, ierr)
    end subroutine recv_long_integers

    recursive subroutine recv_reals(rank, tag, array, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        real(real64), intent(inout), contiguous, target :: array(:)
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr
        type(c_ptr) :: address

        address = c_null_ptr
        if (size(array, kind=c_size_t) > 0) address = c_loc(array)
        call recv(rank, tag, address, 8*size(array, kind=c_size_t), timeout_ms, message, ierr)
    end subroutine recv_reals

    recursive subroutine recv(rank, tag, address, capacity, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag
        type(c_ptr), intent(in) :: address
        integer(c_size_t), intent(in) :: capacity
        integer, intent(in) :: timeout_ms
        type(px_message), intent(out), optional :: message
        integer, intent(out), optional :: ierr
        type(c_message) :: found
        integer(c_int) :: status

        status = c_recv(int(rank, c_int), int(tag, c_int), address, capacity, &
            int(timeout_ms, c_int), found)
        if (present(message)) message = told(found)
        call px_check(int(status), ierr)
    end subroutine recv

    recursive subroutine px_probe(rank, tag, timeout_ms, message, ierr)
        integer, intent(in) :: rank, tag, timeout_ms
        type(px_message), intent(out) :: message
        integer, intent(out), optional :: ierr
        type(c_message) :: found
        integer(c_int) :: status

        status = c_probe(int(rank, c_int), int(tag, c_int), int(timeout_ms, c_int), found)
        message = told(found)
        call px_check(int(status), ierr)
    end subroutine px_probe

    recursive pure type(px_message) function told(found)
        type(c_message), intent(in) :: found

        told = px_message(int(found%source), int(found%tag), int(found%length, int64))
    end function told

    ! ---- Jobs from inside

    recursive subroutine px_job_new(job, ierr)
        type(px_job), intent(out) :: job
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_new(job%handle)), ierr)
    end subroutine px_job_new

    recursive subroutine px_job_free(job, ierr)
        type(px_job), intent(in) :: job
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_free(job%handle)), ierr)
    end subroutine px_job_free

    recursive subroutine px_job_input(job, path, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: path
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_input(job%handle, name_of(path))), ierr)
    end subroutine px_job_input

    recursive subroutine px_job_records(job, records, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: records
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_records(job%handle, name_of(records))), ierr)
    end subroutine px_job_records

    recursive subroutine px_job_chunk_size(job, bytes, ierr)
        type(px_job), intent(in) :: job
        integer(int64), intent(in) :: bytes
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_chunk_size(job%handle, bytes)), ierr)
    end subroutine px_job_chunk_size

    recursive subroutine px_job_chunk_records(job, records, ierr)
        type(px_job), intent(in) :: job
        integer(int64), intent(in) :: records
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_chunk_records(job%handle, records)), ierr)
    end subroutine px_job_chunk_records

    recursive subroutine px_job_ranks(job, ranks, ierr)
        type(px_job), intent(in) :: job
        integer, intent(in) :: ranks
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_ranks(job%handle, int(ranks, c_int))), ierr)
    end subroutine px_job_ranks

    recursive subroutine px_job_deal(job, deal, ierr)
        type(px_job), intent(in) :: job
        integer, intent(in) :: deal
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_deal(job%handle, int(deal, c_int))), ierr)
    end subroutine px_job_deal

    recursive subroutine px_job_order(job, order, ierr)
        type(px_job), intent(in) :: job
        integer, intent(in) :: order
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_order(job%handle, int(order, c_int))), ierr)
    end subroutine px_job_order

    recursive subroutine px_job_command(job, words, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: words(:)
        integer, intent(out), optional :: ierr
        character(kind=c_char), target :: text(size(words)*(len(words) + 1))
        type(c_ptr) :: argv(size(words) + 1)
        integer :: at, i, j

        at = 0
        do i = 1, size(words)
            argv(i) = c_loc(text(at + 1))
            do j = 1, len_trim(words(i))
                text(at + j) = words(i)(j:j)
            end do
            at = at + len_trim(words(i)) + 1
            text(at) = c_null_char
        end do
        argv(size(words) + 1) = c_null_ptr
        call px_check(int(c_job_command(job%handle, argv)), ierr)
    end subroutine px_job_command

    recursive subroutine px_job_callback(job, callback, user, ierr)
        type(px_job), intent(in) :: job
        procedure(px_chunk_callback) :: callback
        type(c_ptr), intent(in), optional :: user
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_callback(job%handle, c_funloc(callback), or_null(user))), ierr)
    end subroutine px_job_callback

    recursive type(c_ptr) function or_null(address)
        type(c_ptr), intent(in), optional :: address

        or_null = c_null_ptr
        if (present(address)) or_null = address
    end function or_null

    recursive subroutine px_job_output_path(job, path, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: path
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_output_path(job%handle, name_of(path))), ierr)
    end subroutine px_job_output_path

    recursive subroutine px_job_output_fd(job, fd, ierr)
        type(px_job), intent(in) :: job
        integer, intent(in) :: fd
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_output_fd(job%handle, int(fd, c_int))), ierr)
    end subroutine px_job_output_fd

    recursive subroutine px_job_output_callback(job, callback, user, ierr)
        type(px_job), intent(in) :: job
        procedure(px_output_callback) :: callback
        type(c_ptr), intent(in), optional :: user
        integer, intent(out), optional :: ierr

        call px_check( &
            int(c_job_output_callback(job%handle, c_funloc(callback), or_null(user))), ierr)
    end subroutine px_job_output_callback

    recursive subroutine px_job_errors_fd(job, fd, ierr)
        type(px_job), intent(in) :: job
        integer, intent(in) :: fd
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_errors_fd(job%handle, int(fd, c_int))), ierr)
    end subroutine px_job_errors_fd

    recursive subroutine px_job_hosts(job, hosts, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: hosts
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_hosts(job%handle, name_of(hosts))), ierr)
    end subroutine px_job_hosts

    recursive subroutine px_job_hostfile(job, path, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: path
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_hostfile(job%handle, name_of(path))), ierr)
    end subroutine px_job_hostfile

    recursive subroutine px_job_option(job, name, value, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: name
        character(len=*), intent(in), optional :: value
        integer, intent(out), optional :: ierr

        if (present(value)) then
            call option_with(job, name, value//c_null_char, ierr)
        else
            call px_check(int(c_job_option(job%handle, name_of(name), c_null_ptr)), ierr)
        end if
    end subroutine px_job_option

    recursive subroutine option_with(job, name, value, ierr)
        type(px_job), intent(in) :: job
        character(len=*), intent(in) :: name
        character(kind=c_char), intent(in), target :: value(*)
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_option(job%handle, name_of(name), c_loc(value))), ierr)
    end subroutine option_with

    recursive subroutine px_job_run(job, ierr)
        type(px_job), intent(in) :: job
        integer, intent(out), optional :: ierr

        call px_check(int(c_job_run(job%handle)), ierr)
    end subroutine px_job_run

    recursive subroutine px_job_result(job, result, ierr)
        type(px_job), intent(in) :: job
        type(px_result), intent(out) :: result
        integer, intent(out), optional :: ierr
        type(c_result) :: found
        integer(c_int) :: status

        status = c_job_result(job%handle, found)
        result = px_result(int(found%status), found%chunks, found%input_bytes, found%output_bytes)
        call px_check(int(status), ierr)
    end subroutine px_job_result
end module px
