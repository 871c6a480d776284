//! What a binary is told apart by: its content, its size, and the machine it is built for.

use std::fmt;

/// How much of a binary's beginning tells its machine.
pub const HEADER_BYTES: usize = 20;

/// A binary's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of its content.
    pub hash: Hash,
    /// How many bytes it has.
    pub size: u64,
    /// What can run it.
    pub machine: Machine,
}

/// A SHA-256, which reads as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// What an ELF file's header says of the machine: magic, class, byte order, then the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine([u8; 8]);

impl Machine {
    /// Reads it from a file's first bytes; `None` for what is no ELF file.
    pub fn of_header(header: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = header.first_chunk()?;
        let [m0, m1, m2, m3, class, order, ..] = *header;
        let machine = Machine([m0, m1, m2, m3, class, order, header[18], header[19]]);
        header.starts_with(b"\x7fELF").then_some(machine)
    }

    /// Reads it from the 16 hexadecimal digits that the script tells.
    pub fn of_digits(digits: &str) -> Option<Self> {
        let digits: &[u8; 16] = digits.as_bytes().try_into().ok()?;
        let mut bytes = [0; 8];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            // The signs that a number may begin with are no digits here.
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.contains(['+', '-']))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Machine(bytes))
    }
}

impl fmt::Display for Machine {
    /// As `uname -m` names it, where it is one of the usual ones.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [.., class, order, low, high] = self.0;
        let little = order == 1;
        let pair = [low, high];
        let number = if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
        let name = match (number, class, little) {
            (0x3e, 2, true) => "x86_64",
            (0x03, 1, true) => "i686",
            (0xb7, 2, true) => "aarch64",
            (0x28, 1, true) => "arm",
            (0xf3, 2, true) => "riscv64",
            (0x15, 2, true) => "ppc64le",
            (0x16, 2, false) => "s390x",
            (0x102, 2, true) => "loongarch64",
            _ => return write!(out, "ELF machine {number} of class {class}"),
        };
        out.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_the_same_from_a_header_and_from_digits() {
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 0xb7;
        let machine = Machine::of_header(&header).unwrap();
        assert_eq!(Machine::of_digits("7f454c460201b700"), Some(machine));
        assert_eq!(machine.to_string(), "aarch64");
        assert_eq!(Machine::of_header(&header[..19]), None);
        assert_eq!(Machine::of_header(&[b'#'; 64]), None);
        for wrong in ["", "7f454c460201b7", "+f454c460201b700", "7f454c460201b7\u{e9}"] {
            assert_eq!(Machine::of_digits(wrong), None, "{wrong}");
        }
    }
}
