//! Tests of reading and laying out images.

mod headers;
mod hostile;
mod layout;
mod tables;

use crate::Image;
use crate::builder::Pe;

/// The driver that has one of everything, changed by `change`.
fn driver(change: impl FnOnce(&mut Pe)) -> Image {
    let mut pe = Pe::driver();
    change(&mut pe);
    Image::parse(&pe.build()).expect("the image is well-formed")
}

/// What is said about the same driver after a change that makes it malformed.
fn error(change: impl FnOnce(&mut Pe)) -> String {
    let mut pe = Pe::driver();
    change(&mut pe);
    Image::parse(&pe.build())
        .expect_err("the image is malformed")
        .to_string()
}
