//! Access control of the page: calls of other operators, requests from other origins, an expired session.
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::chromium::Chromium;
use crate::person::Person;
use toritsugi::command::Command;

use crate::support::gateway_rig::{Options, PASSWORD, Rig};
use crate::support::ids::call;

async fn at_the_desk(browser: &Chromium, rig: &Rig) -> Person {
    let person = Person::comes(browser, &format!("http://{}", rig.address)).await;
    person.enters("1001", PASSWORD).await;
    person.is_connected().await;
    person
}

#[tokio::test]
async fn a_page_gets_nothing_of_another_s_calls() {
    let rig = Rig::start().await;
    let browser = Chromium::start().await;
    let person = at_the_desk(&browser, &rig).await;
    rig.ring(1, &["1002"]);
    for path in [format!("/v1/calls/{}", call(1)), "/v1/users".to_owned()] {
        let status = person.tab.eval(&format!("fetch({path:?}).then((one) => one.status)")).await;
        assert!([404, 403].contains(&status.as_i64().unwrap()), "{path}: {status}");
    }
    let ack = format!("fetch('/v1/calls/{}/ack', {{ method: 'POST' }}).then((one) => one.status)", call(1));
    assert_eq!(person.tab.eval(&ack).await, json!(404));
    assert_eq!(person.tab.eval("document.querySelectorAll('.pop').length").await, json!(0));
    // Scripts cannot read the session token.
    assert_eq!(person.tab.eval("document.cookie").await, json!(""));
    browser.close().await;
}

#[tokio::test]
async fn another_page_can_neither_command_nor_frame_it() {
    let mut rig = Rig::start().await;
    let browser = Chromium::start().await;
    let person = at_the_desk(&browser, &rig).await;
    // The same host at another port is the same site, so the browser sends the cookie: the origin check decides.
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", elsewhere.local_addr().unwrap());
    let served = tokio::spawn(async move {
        while let Ok((mut stream, _)) = elsewhere.accept().await {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let page = "<!doctype html><title>elsewhere</title><body>";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
        }
    });
    person.tab.call("Page.navigate", json!({ "url": origin })).await;
    person.tab.until("the other page", "document.title === 'elsewhere'").await;
    let daemon = format!("http://{}", rig.address);
    let post = format!(
        "fetch('{daemon}/v1/session', {{ method: 'DELETE', credentials: 'include' }}).then(() => 'done', () => 'refused')"
    );
    assert_eq!(person.tab.eval(&post).await, json!("refused"));
    let form = format!(
        "new Promise((resolve) => {{ const form = document.createElement('form'); form.method = 'post'; \
         form.action = '{daemon}/v1/calls/{}/hangup'; form.target = 'answer'; \
         const frame = document.createElement('iframe'); frame.name = 'answer'; frame.onload = () => resolve('answered'); \
         document.body.append(frame, form); form.submit(); }})",
        call(1)
    );
    person.tab.eval(&form).await;
    let framed = format!(
        "new Promise((resolve) => {{ const frame = document.createElement('iframe'); frame.src = '{daemon}/'; \
         frame.onload = () => {{ try {{ resolve(frame.contentDocument ? 'shown' : 'refused'); }} catch {{ resolve('refused'); }} }}; \
         document.body.append(frame); }})"
    );
    assert_eq!(person.tab.eval(&framed).await, json!("refused"));
    // The user is still signed in, and nothing was done.
    person.loads().await;
    person.is_connected().await;
    let commands = rig.commands.as_mut().unwrap();
    while let Ok(given) = commands.try_recv() {
        assert!(
            !matches!(given.command, Command::Control { .. }),
            "a command got through: {:?}",
            given.command
        );
    }
    served.abort();
    browser.close().await;
}

#[tokio::test]
async fn a_session_that_is_over_is_said_and_shows_nothing_more() {
    let rig = Rig::with(Options { heartbeat: Duration::from_millis(200), ..Options::default() }).await;
    let browser = Chromium::start().await;
    let person = at_the_desk(&browser, &rig).await;
    rig.publish(crate::support::gateway_rig::ringing(
        1,
        &["1001"],
        crate::hostile::pop("さくら商事"),
        rig.app.clock.now(),
    ));
    person.pop_is("ringing").await;
    rig.advance(Duration::from_secs(13 * 3600));
    person.tab.until("the sign-in", "document.querySelector('form input[name=login]')").await;
    assert!(person.reads("form [role=status]").await.contains("もう一度サインイン"));
    assert_eq!(person.tab.eval("document.querySelectorAll('.pop').length").await, json!(0));
    person.looks("session-over").await;
    person.enters("1001", "違う合言葉").await;
    person
        .tab
        .until("the refusal", "document.querySelector('#wrong').textContent.includes('パスワードが違います')")
        .await;
    person.tab.eval("document.querySelector('input[name=password]').focus()").await;
    person.tab.types(PASSWORD).await;
    person.tab.key("Enter").await;
    person.is_connected().await;
    person.pop_is("ringing").await;
    browser.close().await;
}
