//! The file of a fax: any bytes make a document or none, never a panic; a document has the pages that were counted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toritsugi::fax::receiver::document_of;

fuzz_target!(|data: &[u8]| {
    let (found, document, _) = document_of(data, Default::default());
    assert_eq!(found.pages == 0, document.is_empty());
    let pages = document.windows(11).filter(|window| window == b"/Type /Page").count();
    // Each page has a page object, and the tree of pages begins with the same letters.
    assert!(document.is_empty() || pages > found.pages as usize);
});
