use super::*;

mod clashes;
mod fixture;
mod golden;
mod headers;
mod native;
mod properties;
mod shared;
mod speed;
mod strict;
