//! Faxes between two real Asterisks, and the mails that bring them to the account over a real Postfix: the page that a machine
//! sends is the page in the document and in the mailbox, a person who calls the fax number is released, and a file whose
//! report was lost is found.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::command_line::toritsugi;
use crate::faults::soak;
use crate::mail_lab::{LOGIN, MailLab};
use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::service::{Service, wait_for};
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA};

/// A number that receives faxes.
const FAX_NUMBER: &str = "0355501091";
/// The number of the sender's machine.
const SENDER: &str = "0312345678";

/// The PBX's directory of faxes, as this machine sees it.
fn directory(lab: &Lab) -> PathBuf {
    let directory = Path::new(&lab.fact("LAB_INSTANCE")).join("pbx/spool/toritsugi-fax");
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    directory
}

/// A daemon that takes the faxes of the PBX's directory; the fax number belongs to the account A001.
async fn service(lab: &Lab, directory: &Path, mail: &[(&str, &str)]) -> Service {
    let settings: Vec<_> =
        [("FAX__DIRECTORY", directory.to_str().unwrap())].into_iter().chain(mail.iter().copied()).collect();
    let service = Service::start_with(lab, &settings).await;
    service.change_account("A001", json!({ "dialled": [SAKURA, FAX_NUMBER] })).await;
    service
}

/// One fax call.
#[derive(Debug, Clone, Copy)]
struct Case {
    is_t38: bool,
    pages: usize,
    /// The sender hangs up after the first page.
    is_cut: bool,
}

/// How often a fax of two pages is sent, by T.38 and as sound by turns, instead of the cases: to measure.
const TIMES: &str = "TORITSUGI_FAX_TIMES";

/// The cases: one page as sound, which every carrier takes. The soak (`TORITSUGI_SOAK`, `make soak`) has the others.
fn cases() -> Vec<Case> {
    let one = Case { is_t38: false, pages: 1, is_cut: false };
    if let Ok(times) = std::env::var(TIMES) {
        let times: usize = times.parse().expect("how often");
        return (0..times).map(|n| Case { is_t38: n % 2 == 0, pages: 2, ..one }).collect();
    }
    let others = [
        Case { is_t38: true, ..one },
        Case { is_t38: true, pages: 2, ..one },
        Case { pages: 2, ..one },
        Case { is_t38: true, pages: 2, is_cut: true },
        Case { pages: 2, is_cut: true, ..one },
    ];
    if soak() > 1 { [one].into_iter().chain(others).collect() } else { vec![one] }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one way through, step by step")]
async fn the_page_that_is_sent_is_the_page_in_the_accounts_mailbox() {
    let lab = Lab::start().await;
    let postfix = MailLab::start().await;
    let directory = directory(&lab);
    let port = postfix.port("STARTTLS_PORT");
    let mut service = service(&lab, &directory, &mail_settings(&postfix, &port)).await;
    reader(&service).await;
    let mut events = service.follow("2001", None).await;
    let mut of_two_pages = Vec::new();
    for (mailed, case) in cases().into_iter().enumerate() {
        let sent: Vec<_> = (0..case.pages).map(page::picture).collect();
        page::write_tiff(&Path::new(&lab.fact("LAB_INSTANCE")).join("far/spool/fax/page.tif"), &sent);
        let call = lab.send_fax(CallSpec::new(SENDER, FAX_NUMBER), "page.tif", case.is_t38).await;
        if case.is_cut {
            first_page_is_written(&directory).await;
            call.hang_up().await;
        }
        let fax = wait_for(&mut events, "fax.received").await;
        call.ended().await;
        let data = &fax["data"];
        let (state, pages) = if case.is_cut { ("partial", 1) } else { ("complete", case.pages) };
        assert_eq!((&data["state"], &data["pages"]), (&json!(state), &json!(pages)), "{case:?} {fax}");
        assert_eq!(data["mode"], if case.is_t38 { "t38" } else { "audio" }, "{case:?}");
        assert_eq!(data["dialled"], "+81355501091");
        assert_eq!(data["caller"], "+81312345678");
        // A machine that was cut has not always named itself to the dialplan.
        assert!(case.is_cut || data["station"] == SENDER, "{fax}");
        let account = service.ask("admin", Method::GET, "/v1/accounts", None).await.1["items"][0].clone();
        assert_eq!((&account["code"], &data["account"]), (&json!("A001"), &account["id"]));
        assert_eq!(fax["call"], data["call"]);

        let path = format!("/v1/faxes/{}/document", data["id"].as_str().unwrap());
        let document =
            service.request("2001", Method::GET, &path).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(data["bytes"], document.len());
        let received = page::pictures_of(&document);
        assert_eq!(received.len(), pages, "{case:?}");
        for (received, sent) in received.iter().zip(&sent) {
            assert!(received == sent, "{case:?}: {} pixels differ", page::differences(received, sent));
        }
        assert_eq!(page::sizes_of(&document), ["609.88 x 404.08"], "{case:?}");

        // The same document is in the mailbox of the account's first contact.
        let hung_up = Instant::now();
        eventually("the fax is mailed", async || {
            let mails = postfix.mails(MAILBOX).len();
            if mails == mailed + 1 { Ok(()) } else { Err(format!("{mails} mails\n{}", postfix.log())) }
        })
        .await;
        let mail = postfix.mails(MAILBOX).pop().unwrap();
        assert_eq!(attachment_of(&mail), document, "{}", String::from_utf8_lossy(&mail));
        let message = format!("/v1/messages/{}", data["id"].as_str().unwrap());
        let message = service.until("2001", &message, |_, message| message["state"] == "sent").await;
        assert_eq!(message["kind"], "fax");
        println!("fax: mailed {:?} after its event", hung_up.elapsed());

        // The call is in the history as a fax, and nothing is left in the directory.
        let path = format!("/v1/history/{}", fax["call"].as_str().unwrap());
        let past = service.until("admin", &path, |status, _| status == StatusCode::OK).await;
        assert_eq!(past["outcome"], "fax");
        let message = data["id"].as_str().unwrap();
        let path = format!("/v1/deliveries?message={message}");
        let (_, deliveries) = service.ask("2001", Method::GET, &path, None).await;
        let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let taken = time(&deliveries["items"][0]["changed_at"]).duration_since(time(&past["ended_at"]));
        println!(
            "fax: {} pages: taken by the mail server {} ms after the hang-up",
            case.pages,
            taken.as_millis()
        );
        if case.pages == 2 && !case.is_cut {
            of_two_pages.push(taken.as_millis());
        }
        eventually("the file is taken away", async || {
            let left = fs::read_dir(&directory).unwrap().count();
            if left == 0 { Ok(()) } else { Err(format!("{left} files")) }
        })
        .await;
        println!("fax: {case:?}: {} bytes, every pixel equal", document.len());
    }
    if let [_, ..] = of_two_pages[..] {
        of_two_pages.sort_unstable();
        let (count, middle) = (of_two_pages.len(), of_two_pages[of_two_pages.len() / 2]);
        println!(
            "fax: two pages, from the hang-up to the mail taken, {count} times: p50 {middle} ms, max {} ms",
            of_two_pages[count - 1]
        );
    }
    service.stop().await;
}

/// The settings of `[mail]` for the lab's server, which signs in.
pub(crate) fn mail_settings<'a>(postfix: &'a MailLab, port: &'a str) -> [(&'static str, &'a str); 8] {
    [
        ("MAIL__HOST", "localhost"),
        ("MAIL__PORT", port),
        ("MAIL__TLS", "starttls"),
        ("MAIL__CA_FILE", postfix.ca_file.to_str().unwrap()),
        ("MAIL__USER", LOGIN.0),
        ("MAIL__PASSWORD", LOGIN.1),
        ("MAIL__FROM", "report@toritsugi.example.jp"),
        ("MAIL__FROM_NAME", "さくら電話秘書"),
    ]
}

/// The mailbox of the account's first contact.
pub(crate) const MAILBOX: &str = "sasaki";

/// Gives the account's first contact in the on-call order an address of the mail lab.
pub(crate) async fn reader(service: &Service) {
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts", None).await;
    let account = accounts["items"][0]["id"].as_str().unwrap();
    let (_, contacts) =
        service.ask("admin", Method::GET, &format!("/v1/contacts?account={account}"), None).await;
    let contacts = contacts["items"].as_array().unwrap();
    let first = contacts.iter().filter(|contact| !contact["on_call_order"].is_null());
    let first = first.min_by_key(|contact| contact["on_call_order"].as_u64()).expect("somebody is on call");
    let path = format!("/v1/contacts/{}", first["id"].as_str().unwrap());
    let address = json!({ "email": format!("{MAILBOX}@sakura.example.jp") });
    let (status, answer) = service.ask("admin", Method::PATCH, &path, Some(address)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// The PDF of a mail, read without any code of the product.
fn attachment_of(mail: &[u8]) -> Vec<u8> {
    let mail = std::str::from_utf8(mail).unwrap().replace("\r\n", "\n");
    let part = mail.split_once("Content-Type: application/pdf;").expect("the mail has a PDF").1;
    let body = part.split_once("\n\n").unwrap().1.split_once("\n--").unwrap().0;
    BASE64.decode(body.replace('\n', "")).unwrap()
}

/// The PBX writes a page when it is complete; before that the file has its head alone.
async fn first_page_is_written(directory: &Path) {
    eventually("the first page is written", async || {
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata());
        let largest = files.filter_map(|metadata| metadata.ok().map(|file| file.len())).max();
        if largest.is_some_and(|bytes| bytes > 1_000) { Ok(()) } else { Err(format!("{largest:?} bytes")) }
    })
    .await;
}

#[tokio::test]
async fn a_person_who_calls_the_fax_number_is_released_and_makes_no_fax() {
    let lab = Lab::start().await;
    let directory = directory(&lab);
    let mut service = service(&lab, &directory, &[]).await;
    let mut events = service.follow("admin", None).await;
    lab.set_global("TORITSUGI_FAX_WAIT", "5").await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, FAX_NUMBER)).await;
    let ended = wait_for(&mut events, "call.ended").await;
    assert_eq!(ended["data"]["outcome"], "fax");
    call.ended().await;
    let (_, faxes) = service.ask("admin", Method::GET, "/v1/faxes", None).await;
    assert_eq!(faxes["items"], json!([]));
    eventually("the call is counted", async || {
        match service.metric("toritsugi_fax_calls_empty_total").await? {
            1 => Ok(()),
            count => Err(format!("{count} calls")),
        }
    })
    .await;
    lab.set_global("TORITSUGI_FAX_WAIT", "").await;
    service.stop().await;
}

/// A sender hears busy and tries again later; `check` says what to do.
#[tokio::test]
async fn a_pbx_without_a_module_is_busy_and_check_names_it() {
    let lab = Lab::start().await;
    let directory = directory(&lab);
    let mut service = service(&lab, &directory, &[]).await;
    let shown = directory.display().to_string();
    let setting = [("FAX__DIRECTORY", shown.as_str())];
    let found = toritsugi(&service, &setting, &["check"]).await;
    let lines = |output: &std::process::Output| {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        text.lines()
            .filter(|line| line.get(8..).is_some_and(|what| what.starts_with("fax ")))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let found = lines(&found);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|line| line.starts_with("ok ")), "{found:?}");

    let mut events = service.follow("admin", None).await;
    module(&lab, "unload").await;
    let call = lab.place_call(CallSpec::new(SENDER, FAX_NUMBER)).await;
    assert_eq!(call.ended().await, 17);
    assert_eq!(wait_for(&mut events, "call.ended").await["data"]["outcome"], "blocked");
    let missing = [("FAX__DIRECTORY", "/nonexistent/fax")];
    let found = toritsugi(&service, &missing, &["check"]).await;
    assert_eq!(found.status.code(), Some(1));
    let found = lines(&found);
    module(&lab, "load").await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("FAILED") && found[0].contains("/nonexistent/fax"), "{found:?}");
    assert!(found[1].starts_with("FAILED") && found[1].contains("res_fax_spandsp.so"), "{found:?}");
    service.stop().await;
}

async fn module(lab: &Lab, what: &str) {
    let name = ("Module", "res_fax_spandsp.so");
    lab.pbx.must(&[("Action", "ModuleLoad"), name, ("LoadType", what)]).await;
}

/// The daemon was away when the faxes came. What else lies in the directory is nobody's business.
#[tokio::test]
async fn files_whose_reports_were_lost_are_found_and_nothing_else_is_touched() {
    let lab = Lab::start().await;
    let directory = directory(&lab);
    let secret = tempfile::tempdir().unwrap();
    let secret = secret.path().join("secret.tif");
    let fax = include_bytes!("../samples/fax.tif");
    fs::write(&secret, fax).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let write = |name: &str, bytes: &[u8], modified: SystemTime| {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        fs::File::options().append(true).open(path).unwrap().set_modified(modified).unwrap();
    };
    write("PBX-1.1_0355501091.tif", fax, hour_ago);
    write("PBX-1.2_0399999999.tif", b"MZ\x90 not a fax", hour_ago);
    write("PBX-1.3_.tif", b"II*\0\0\0\0\0", hour_ago);
    write("PBX-1.4_0355501091.tif", fax, SystemTime::now());
    write("..PBX-1.5_0355501091.tif", fax, hour_ago);
    write("notes.tif", fax, hour_ago);
    std::os::unix::fs::symlink(&secret, directory.join("PBX-1.6_0355501091.tif")).unwrap();

    let mut service = service(&lab, &directory, &[]).await;
    let faxes =
        service.until("admin", "/v1/faxes", |_, page| page["items"].as_array().unwrap().len() == 2).await;
    let found = |state: &str| {
        let items = faxes["items"].as_array().unwrap();
        items.iter().find(|fax| fax["state"] == state).unwrap_or_else(|| panic!("{state}: {faxes}")).clone()
    };
    let whole = found("unconfirmed");
    let account = |fax: &Value| fax.get("account").cloned();
    let (_, accounts) = service.ask("admin", Method::GET, "/v1/accounts", None).await;
    // The record may have been made before the account got the number.
    assert!(account(&whole).is_none_or(|id| id == accounts["items"][0]["id"]), "{whole}");
    assert_eq!((&whole["pages"], whole.get("caller"), whole.get("station")), (&json!(1), None, None));
    let foreign = found("unreadable");
    assert_eq!((&foreign["pages"], &foreign["bytes"], account(&foreign)), (&json!(0), &json!(0), None));

    let names = || {
        let mut names: Vec<String> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let left = [
        "..PBX-1.5_0355501091.tif",
        "PBX-1.4_0355501091.tif",
        "PBX-1.6_0355501091.tif",
        "notes.tif",
        "unreadable",
    ];
    eventually("the files are taken away", async || {
        let names = names();
        if names == left { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
    assert!(directory.join("unreadable/PBX-1.2_0399999999.tif").is_file());
    assert_eq!(fs::read(&secret).unwrap(), fax);
    service.stop().await;
}

/// Pages: the picture that is sent, and what Debian's own tools find in a document.
mod page {
    use super::*;

    const COLUMNS: usize = 1_728;
    const ROWS: usize = 1_100;

    /// A picture; black is true.
    pub(super) type Picture = Vec<Vec<bool>>;

    /// Page `n`: a frame, squares, thin lines and a slope, which show a shift or a lost row.
    pub(super) fn picture(n: usize) -> Picture {
        let black = |row: usize, column: usize| {
            let is_inside = (60..ROWS - 60).contains(&row) && (60..COLUMNS - 60).contains(&column);
            let is_frame =
                is_inside && !((64..ROWS - 64).contains(&row) && (64..COLUMNS - 64).contains(&column));
            let is_square = (100..228).contains(&row)
                && (176..960).contains(&column)
                && (row / 16 + column / 16 + n).is_multiple_of(2);
            let is_line = (300..340).contains(&row)
                && (100..1_500).contains(&column)
                && (column - 100).is_multiple_of(7);
            let is_slope =
                (400..800).contains(&row) && (200..220).contains(&(column.wrapping_sub(row - 400)));
            is_frame || is_square || is_line || is_slope
        };
        (0..ROWS).map(|row| (0..COLUMNS).map(|column| black(row, column)).collect()).collect()
    }

    /// Writes an uncompressed TIFF file at 204 x 196 dpi.
    pub(super) fn write_tiff(path: &Path, pictures: &[Picture]) {
        let packed = |row: &Vec<bool>| {
            let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
            row.chunks(8).map(byte).collect::<Vec<_>>()
        };
        let mut file = b"II*\0\0\0\0\0".to_vec();
        let mut link = 4;
        let position = |file: &Vec<u8>| u32::try_from(file.len()).unwrap();
        for picture in pictures {
            let data: Vec<u8> = picture.iter().flat_map(packed).collect();
            let (at, length) = (position(&file), u32::try_from(data.len()).unwrap());
            file.extend_from_slice(&data);
            let resolution = position(&file);
            [204_u32, 1, 196, 1].iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
            let (columns, rows) = (u32::try_from(COLUMNS).unwrap(), u32::try_from(ROWS).unwrap());
            let entries: [(u16, u16, u32); 12] = [
                (256, 4, columns),
                (257, 4, rows),
                (258, 3, 1),
                (259, 3, 1),
                (262, 3, 0),
                (273, 4, at),
                (277, 3, 1),
                (278, 4, rows),
                (279, 4, length),
                (282, 5, resolution),
                (283, 5, resolution + 8),
                (296, 3, 2),
            ];
            let directory = position(&file);
            file[link..link + 4].copy_from_slice(&directory.to_le_bytes());
            file.extend_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
            for (tag, kind, value) in entries {
                file.extend_from_slice(&tag.to_le_bytes());
                file.extend_from_slice(&kind.to_le_bytes());
                file.extend_from_slice(&1_u32.to_le_bytes());
                file.extend_from_slice(&value.to_le_bytes());
            }
            link = file.len();
            file.extend_from_slice(&0_u32.to_le_bytes());
        }
        fs::write(path, file).unwrap();
    }

    /// The pictures in a document, as poppler reads them.
    pub(super) fn pictures_of(document: &[u8]) -> Vec<Picture> {
        let held = tempfile::tempdir().unwrap();
        let file = held.path().join("fax.pdf");
        fs::write(&file, document).unwrap();
        run("pdfimages", &[file.as_os_str(), held.path().join("page").as_os_str()]);
        let mut files: Vec<PathBuf> = fs::read_dir(held.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pbm"))
            .collect();
        files.sort();
        files.iter().map(|file| portable_bitmap(&fs::read(file).unwrap())).collect()
    }

    /// The sizes of a document's pages, in points.
    pub(super) fn sizes_of(document: &[u8]) -> Vec<String> {
        let held = tempfile::tempdir().unwrap();
        let file = held.path().join("fax.pdf");
        fs::write(&file, document).unwrap();
        let text = run("pdfinfo", &[file.as_os_str()]);
        let sizes = text.lines().filter_map(|line| line.strip_prefix("Page size:"));
        sizes.map(|size| size.trim().trim_end_matches(" pts").to_owned()).collect()
    }

    fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> String {
        let done = Command::new(program).args(arguments).output();
        let done = done.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install poppler-utils"));
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// `P4`: width, height, and rows of bits; 1 is black.
    fn portable_bitmap(bytes: &[u8]) -> Picture {
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        assert_eq!(parts.next(), Some(&b"P4"[..]));
        let size = std::str::from_utf8(parts.next().unwrap()).unwrap();
        let (columns, rows) = size.split_once(' ').unwrap();
        let (columns, rows): (usize, usize) = (columns.parse().unwrap(), rows.parse().unwrap());
        let data = parts.next().unwrap();
        let width = columns.div_ceil(8);
        assert_eq!(data.len(), width * rows);
        let row = |row: &[u8]| (0..columns).map(|n| row[n / 8] >> (7 - n % 8) & 1 == 1).collect();
        data.chunks(width).map(row).collect()
    }

    pub(super) fn differences(one: &Picture, two: &Picture) -> usize {
        if one.len() != two.len() {
            return usize::MAX;
        }
        one.iter().flatten().zip(two.iter().flatten()).filter(|(a, b)| a != b).count()
    }
}
