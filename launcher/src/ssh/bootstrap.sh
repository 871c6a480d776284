# What a host runs from the login on until it becomes the agent, in the words of POSIX sh.
#
# It comes as one line on stdin (script.rs joins it: each line here ends a command or is open for
# the next), so that no login shell ever has to understand it. After it come two lines: the mark,
# hash, size and lease; and the path of an agent, often empty. Answers are lines that begin with the mark;
# the newline before each keeps them apart from whatever a shell's start-up file has printed.
#
# All names begin with `px_`: a name that the environment has too would change there for the agent.

px_say() { printf "\n%s %s\n" "$px_mark" "$*"; };
px_fail() { px_say fail "$(printf %s "$*" | tr "\n\r\t" "   " | head -c 1000)"; exit 1; };

# Class, byte order and machine of an ELF file, as hexadecimal digits.
px_machine_of() { set -- $(od -An -v -tx1 -N20 "$1" 2>/dev/null); echo "$1$2$3$4$5$6${19}${20}"; };

# Runs a file and keeps what it says. Shells take for a script what the kernel refuses to execute,
# so a binary of another machine must not get that far, nor a torn one. A script may be an agent
# only where the user has named it.
px_tried() {
    px_words="cannot execute binary file: Exec format error";
    case $(px_machine_of "$1") in
        "$px_machine") ;;
        7f454c46*) return 1;;
        *) [ -n "$px_agent" ] || return 1;;
    esac;
    px_words=$({ "$@" </dev/null; } 2>&1) && return 0;
    px_status=$?;
    px_words="$px_words (status $px_status)";
    return 1;
};

# Stdin is the root's; the agent is the only one who reads it from here on.
px_run() { px_say run; exec "$1" --as-agent ${px_lease:+"$px_lease"}; };

# Nobody else may put a binary where this user would start it.
px_private() {
    [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] &&
    case $(ls -ld "$1/.") in d????-??-*) true;; *) false;; esac;
};

# Makes sure of a file in a directory: that it can be made, executed, and as large as the binary.
px_reserve() {
    umask 077;
    set -C;
    mkdir -p "$1" || return 1;
    px_private "$1" || { echo "$1: not a directory that is this user's alone"; return 1; };
    find "$1" -name ".new-*" -mtime +0 -exec rm -f {} + ;
    px_new=$1/.new-$px_mark;
    echo "#!/bin/sh" >"$px_new" && chmod 700 "$px_new" && "$px_new" &&
    head -c "$px_size" /dev/zero >|"$px_new" && return 0;
    rm -f "$px_new";
    return 1;
};
px_drop() { rm -f "$px_new"; px_fail "$@"; };

read -r px_mark px_hash px_size px_lease && IFS= read -r px_agent || exit 1;
px_machine=$(px_machine_of /proc/$$/exe);
[ -n "$px_machine" ] || px_fail "cannot read /proc/$$/exe with od";

if [ -n "$px_agent" ]; then
    case $px_agent in /*) ;; *) px_agent=./$px_agent;; esac;
    [ -e "$px_agent" ] || px_fail "$px_agent: No such file or directory";
    [ -f "$px_agent" ] && [ -x "$px_agent" ] || px_fail "$px_agent: not an executable file";
    px_tried "$px_agent" --version || px_fail "$px_agent: $px_words";
    px_run "$px_agent";
fi;

set --;
for px_dir in "${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}" "${XDG_RUNTIME_DIR:-}"; do
    case $px_dir in /*) set -- "$@" "$px_dir/pxrun";; esac;
done;

# The check of a stored binary costs little and finds what a crash has torn, or another host with
# the same home cannot run: that one is pushed anew, and then its words are told.
for px_dir do
    px_file=$px_dir/$px_hash;
    px_private "$px_dir" && [ -f "$px_file" ] && [ ! -L "$px_file" ] && [ -O "$px_file" ] &&
    px_tried "$px_file" --check-agent "$px_hash" && px_run "$px_file";
done;

px_why=;
for px_dir do
    px_words=$(px_reserve "$px_dir" 2>&1 </dev/null) || {
        px_why="$px_why$px_words; ";
        continue;
    };
    px_new=$px_dir/.new-$px_mark;
    trap "px_drop interrupted" HUP INT PIPE TERM;
    px_say need "$px_machine" "$(uname -m)";
    px_words=$({ head -c "$px_size" >|"$px_new"; } 2>&1) ||
        px_drop "cannot store the binary: $px_words";
    [ "$(wc -c <"$px_new")" -eq "$px_size" ] || px_drop "the binary was cut short on its way";
    px_tried "$px_new" --check-agent "$px_hash" || {
        [ "$px_status" = 127 ] && px_words="$px_words: its dynamic loader is not there";
        px_drop "the binary does not run: $px_words";
    };
    px_words=$(mv -f "$px_new" "$px_dir/$px_hash" 2>&1) || px_drop "$px_words";
    px_run "$px_dir/$px_hash";
done;

# Nowhere to store it: it goes from stdin into memory, by what has the system call: 319, 279, 360
# is memfd_create of x86-64, of the generic table, of POWER; flag 1 is close-on-exec, 16 says where
# it must be said that the file is to be executed.
px_call=;
case $px_machine in
    *3e00) px_call=319;;
    *b700|*f300|*0201) px_call=279;;
    *1500) px_call=360;;
esac;
px_flags=1;
[ -e /proc/sys/vm/memfd_noexec ] && px_flags=17;
set -- "$px_mark" "$px_hash" "$px_size" "$px_machine" "$px_flags" "$px_why" "$px_call" "$px_lease";
if [ -n "$px_call" ] && perl -e 1 </dev/null >/dev/null 2>&1; then
    px_say need "$px_machine" "$(uname -m)";
    exec perl -e '
        ($mark, $hash, $left, $machine, $flags, $why, $call, $lease) = @ARGV;
        sub gone {
            $said = join " ", split " ", "$why@_";
            syswrite STDOUT, sprintf "\n%s fail %.1000s\n", $mark, $said;
            exit 1;
        }
        $name = "pxrun";
        $fd = syscall $call + 0, $name, $flags + 0;
        $fd < 0 and gone "memfd_create: $!";
        open $file, ">&=", $fd or gone "memfd: $!";
        while ($left > 0) {
            $count = sysread STDIN, $piece, $left < 65536 ? $left : 65536;
            $count or gone "the binary was cut short on its way";
            length $head < 20 and $head .= $piece;
            $count == syswrite $file, $piece or gone "memfd: $!";
            $left -= $count;
        }
        unpack("H12", $head) . unpack("x18H4", $head) eq $machine
            or gone "the binary does not run: cannot execute binary file: Exec format error";
        $path = "/proc/self/fd/$fd";
        $child = open $said, "-|";
        defined $child or gone "fork: $!";
        if (!$child) {
            open STDIN, "<", "/dev/null";
            open STDERR, ">&STDOUT";
            exec { $path } $path, "--check-agent", $hash;
            print STDERR "$!";
            exit 127;
        }
        @words = <$said>;
        close $said;
        $? and gone "the binary does not run from memory: @words (status ", $? >> 8, ")";
        syswrite STDOUT, "\n$mark run\n";
        exec { $path } "pxrun", "--as-agent", $lease ? $lease : ();
        gone "exec: $!";
    ' "$@";
fi;
if python3 -I -c "import os; os.memfd_create" </dev/null >/dev/null 2>&1; then
    px_say need "$px_machine" "$(uname -m)";
    exec python3 -I -c 'import os, signal, subprocess, sys;
        mark, hash, size, machine, flags, why, call, lease = sys.argv[1:9];
        said = lambda words: os.write(1, ("\n%s %s\n" % (mark, words)).encode());
        gone = lambda words: (
            said("fail " + " ".join((why + str(words)).split())[:1000]), os._exit(1));
        sys.excepthook = lambda kind, error, trace: gone(error);
        fd = os.memfd_create("pxrun", int(flags));
        file = open(fd, "wb", closefd=False);
        binary = sys.stdin.buffer.read(int(size));
        len(binary) == int(size) or gone("the binary was cut short on its way");
        file.write(binary);
        file.flush();
        (binary[:6] + binary[18:20]).hex() == machine or gone(
            "the binary does not run: cannot execute binary file: Exec format error");
        path = "/proc/self/fd/%d" % fd;
        check = subprocess.run([path, "--check-agent", hash], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[fd]);
        check.returncode == 0 or gone("the binary does not run from memory: %s (status %d)"
            % (check.stdout.decode(errors="replace"), check.returncode));
        [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)];
        said("run");
        os.execv(path, ["pxrun", "--as-agent"] + [lease] * bool(lease))
    ' "$@";
fi;
px_fail "${px_why}neither perl nor python3 is there to keep the binary in memory";
