//! A `px-wire` and its orders.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::space::Space;
use super::texts;
use crate::binary;
use crate::wire::Quality;

/// A running wire between the head and a host; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Cable {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cable {
    /// Lays one, and waits until both its devices are there.
    pub(super) fn lay(number: usize, head: &Space, host: &Space) -> Self {
        let wire = binary::wire();
        let mut command = head.command(wire.to_str().expect("a path in UTF-8"));
        command.arg(texts::cable(number)).arg(host.pin()).arg("eth0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("px-wire");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut cable = Cable { child, orders, answers };
        cable.answered();
        cable
    }

    /// Gives it another quality, and waits until that counts.
    pub(super) fn set(&mut self, quality: &Quality) {
        let orders = self.orders.as_mut().expect("a wire takes orders");
        orders.write_all(quality.line().as_bytes()).expect("an order to the wire");
        self.answered();
    }

    fn answered(&mut self) {
        let mut line = String::new();
        let count = self.answers.read_line(&mut line).expect("an answer of the wire");
        assert!(count > 0, "the wire has ended");
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The end of its orders is its end.
        self.orders = None;
        let _ = self.child.wait();
    }
}
