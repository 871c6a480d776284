//! Whatever the words: they are told apart without a panic, the command's own words stay as they
//! are, and every error is one that can be shown.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;
use pxrun::options::{Asked, parse};
use pxrun::values;
use pxrun::words::split;

fuzz_target!(|data: &[u8]| {
    let words: Vec<OsString> =
        data.split(|&byte| byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let Ok(apart) = split(words.clone()) else { return };
    assert!(words.ends_with(&apart.command));
    match parse(apart) {
        Ok(Asked::Job(options)) => {
            let _ = options.value("np", |text| values::whole(text, 1, 100));
            let _ = options.value("chunk-size", values::size);
            let _ = options.value("grace", values::seconds);
            let _ = options.value("delimiter", values::byte);
            let _ = options.value("ok", values::statuses);
        }
        Ok(_) => {}
        Err(message) => assert!(!message.render("error").is_empty()),
    }
});
