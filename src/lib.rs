//! Toritsugi (取次): to take a call and pass it on.
#![forbid(unsafe_code)]
