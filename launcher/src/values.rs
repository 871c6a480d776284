//! What users write for numbers, sizes and times.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Parses a whole number from `least` to `most`.
///
/// # Errors
/// What must be written instead.
pub fn whole(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        if most == u64::MAX {
            format!("must be a whole number from {least} on, found `{text}`")
        } else {
            format!("must be a whole number from {least} to {most}, found `{text}`")
        }
    })
}

/// Parses a size in bytes: `4096`, `64K`, `1M`, `2GiB`; `KB`, `MB` and so on are powers of 1000.
///
/// # Errors
/// What must be written instead.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("must be a size such as `4096`, `64K` or `1M`, found `{text}`");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let (power, unit) = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => (0, 1),
        "k" | "kib" => (1, 1024),
        "m" | "mib" => (2, 1024),
        "g" | "gib" => (3, 1024),
        "t" | "tib" => (4, 1024),
        "kb" => (1, 1000),
        "mb" => (2, 1000),
        "gb" => (3, 1000),
        "tb" => (4, 1000),
        _ => return Err(wrong()),
    };
    let factor = u64::pow(unit, power);
    number.checked_mul(factor).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

/// Parses seconds, decimals allowed.
///
/// # Errors
/// What must be written instead.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("must be a number of seconds such as `5` or `0.5`, found `{text}`");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    // A hundred years: longer ones would overflow clocks.
    if !(0.0..=3.2e9).contains(&number) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(number).map_err(|_| wrong())
}

/// Parses one byte: a character, or an escape such as `\t`, `\0`, `\x1e`.
///
/// # Errors
/// What must be written instead.
pub fn byte(text: &str) -> Result<u8, String> {
    let wrong = || format!("must be one byte such as `,`, `\\t` or `\\x1e`, found `{text}`");
    if let &[byte] = text.as_bytes() {
        return Ok(byte);
    }
    match text {
        "\\n" => Ok(b'\n'),
        "\\t" => Ok(b'\t'),
        "\\r" => Ok(b'\r'),
        "\\0" => Ok(0),
        "\\\\" => Ok(b'\\'),
        _ => {
            let hex = text.strip_prefix("\\x").filter(|hex| hex.len() == 2).ok_or_else(wrong)?;
            u8::from_str_radix(hex, 16).map_err(|_| wrong())
        }
    }
}

/// Parses exit statuses: `0,1`.
///
/// # Errors
/// What must be written instead.
pub fn statuses(text: &str) -> Result<Vec<u8>, String> {
    let parse = |part: &str| part.trim().parse::<u8>().ok();
    text.split(',')
        .map(parse)
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| format!("must be exit statuses from 0 to 255 such as `0,1`, found `{text}`"))
}

/// An address to listen on, and which ports.
pub type Listen = (IpAddr, Option<RangeInclusive<u16>>);

/// Parses `ADDR`, `ADDR:PORT` or `ADDR:PORT-PORT`; an IPv6 address with ports is in brackets.
///
/// # Errors
/// What must be written instead.
pub fn listen(text: &str) -> Result<Listen, String> {
    let wrong = || {
        format!(
            "must be an address such as `10.0.0.1`, `10.0.0.1:7000-7999` or `[fd00::1]:7000`, \
                 found `{text}`"
        )
    };
    let (address, ports) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, ports)) => (address, Some(ports.strip_prefix(':').ok_or_else(wrong)?)),
        None if text.parse::<IpAddr>().is_ok() => (text, None),
        None => text.split_once(':').map(|(a, p)| (a, Some(p))).ok_or_else(wrong)?,
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    if address.is_unspecified() {
        return Err(format!("must be one address, `{address}` stands for all"));
    }
    let Some(ports) = ports else { return Ok((address, None)) };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0);
    let (first, last) = port(first).zip(port(last)).ok_or_else(wrong)?;
    if first > last {
        return Err(wrong());
    }
    Ok((address, Some(first..=last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_coreutils_reads_them() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("64kb"), Ok(64000));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for wrong in ["", "0", "K", "-1", "1X", "99999999T", "1.5M"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delimiter_is_one_byte() {
        assert_eq!(byte(","), Ok(b','));
        assert_eq!(byte("\\t"), Ok(b'\t'));
        assert_eq!(byte("\\x1e"), Ok(0x1e));
        assert!(byte("ab").is_err() && byte("").is_err() && byte("\\x1").is_err());
    }

    #[test]
    fn an_address_to_listen_on_is_one_with_ports_or_without() {
        let v4: IpAddr = [10, 0, 0, 1].into();
        assert_eq!(listen("10.0.0.1"), Ok((v4, None)));
        assert_eq!(listen("10.0.0.1:70-80"), Ok((v4, Some(70..=80))));
        assert_eq!(listen("[fd00::1]:7").map(|(_, ports)| ports), Ok(Some(7..=7)));
        assert!(listen("fd00::1").is_ok());
        for wrong in ["", "0.0.0.0", "::", "host", "10.0.0.1:0", "10.0.0.1:9-8", "[fd00::1]7"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_may_have_decimals_and_are_not_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", "nan", "inf", "1e300", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
