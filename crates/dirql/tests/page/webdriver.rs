//! A browser that is told what to do: Chromium behind ChromeDriver, in the WebDriver protocol.
//!
//! Blocking and small: the protocol is JSON over HTTP/1.1, one request at a time.
//!
//! Source: W3C, "WebDriver"; ChromeDriver's own commands for logs and for emulated media.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A browser with one window. Ends with it.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts one that keeps what it keeps in `directory`; `None` if there is no ChromeDriver.
    ///
    /// # Panics
    /// If there is one and it does not start a browser.
    pub(crate) fn start(directory: &Path) -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let port = driver.stdout.take().and_then(port).expect("a port");
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
        };
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(directory).expect("an empty directory");
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", directory.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        }}});
        let answer = browser.ask("POST", "/session", &wanted);
        browser.session = answer["sessionId"].as_str().expect("a session").into();
        Some(browser)
    }

    /// Sends a command of the session.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn command(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    /// Opens an address.
    pub(crate) fn open(&self, address: &str) {
        self.command("/url", &json!({ "url": address }));
    }

    /// What a script returns, or the promise that it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.run_with(script, &[])
    }

    /// As [`Browser::run`], with `arguments`.
    pub(crate) fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        self.command(
            "/execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
    }

    /// Presses keys, as WebDriver writes them.
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] });
        self.command("/actions", &actions);
    }

    /// Makes the window so big, and has it prefer a colour scheme.
    pub(crate) fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            // What moves looks different from moment to moment.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// What is seen, as a PNG in base64.
    pub(crate) fn screenshot(&self) -> String {
        let path = format!("/session/{}/screenshot", self.session);
        let picture = self.ask("GET", &path, &Value::Null);
        picture.as_str().expect("a picture").into()
    }

    /// What the browser has logged since one asked last: `browser` or `performance`.
    pub(crate) fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.command("/se/log", &json!({ "type": kind }));
        entries.as_array().cloned().unwrap_or_default()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        let mut answer: Value = serde_json::from_slice(&content(stream)).expect("JSON");
        let value = answer["value"].take();
        assert!(
            value.get("error").is_none(),
            "{method} {path}: {} {}",
            value["error"],
            value["message"]
        );
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            // A browser whose driver is gone stays; a test that has failed leaves none, either.
            let quit = || self.ask("DELETE", &path, &Value::Null);
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(quit));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that ChromeDriver says that it listens at.
fn port(output: impl Read) -> Option<u16> {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.find_map(|line| {
        let (_, number) = line.split_once("started successfully on port ")?;
        number.trim_end_matches('.').parse().ok()
    })
}

/// The content of an answer.
fn content(stream: TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let read = reader.read_line(&mut line).expect("a header");
        if read == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut content = vec![0; length];
    reader.read_exact(&mut content).expect("the content");
    content
}
