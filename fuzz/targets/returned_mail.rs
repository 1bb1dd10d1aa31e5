//! Fuzzes mails that come back with any bytes: nothing panics, what is kept has its limits, and a forged return address matches
//! no delivery.

#![no_main]

use libfuzzer_sys::fuzz_target;
use toritsugi::mail::{MailAddress, Proof, ReturnPath, Returned};

fuzz_target!(|data: &[u8]| {
    let returned = Returned::read(data);
    assert!(returned.reports.len() <= 20 && returned.addresses.len() <= 50 && returned.deliveries.len() <= 50);
    for report in &returned.reports {
        assert!(report.text.chars().count() <= 300 && !report.text.contains('\n'));
    }
    let path = ReturnPath::new(MailAddress::example(), &[7; 32]);
    for address in &returned.addresses {
        if let Proof::Of(delivery) = path.read(address) {
            let local = address.rsplit_once('@').unwrap().0;
            assert!(local.eq_ignore_ascii_case(path.of(delivery).local()));
        }
    }
});
