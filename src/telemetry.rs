//! Events on standard error, one line each, and the one panic hook.

use crate::config::{Log, LogFormat};
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// Starts logging for the rest of the process. `serving` settles what `format = "auto"` means. Later calls do nothing.
pub(crate) fn start(log: &Log, serving: bool) {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => serving,
    };
    let (json, human) = if json {
        // ractor opens a span for each message; it says nothing that the event does not
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
        (Some(layer.with_current_span(false).with_span_list(false).with_writer(OneLine(io::stderr))), None)
    } else {
        (None, Some(tracing_subscriber::fmt::layer().with_writer(OneLine(io::stderr))))
    };
    let subscriber = tracing_subscriber::registry().with(log.level.0.clone()).with(json).with(human);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Says where, never what: a panic's text may hold whatever was at hand, a code or a token too.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(location, thread = thread.name().unwrap_or("unnamed"), "panicked");
}

/// Keeps one event on one line whatever it carries: a caller's text must not be able to forge a second event (K2).
///
/// The formatters write an event at once and end it with a line feed; every other character that moves a terminal or
/// a log reader is written as `\u….`, which JSON understands too.
#[derive(Clone, Copy)]
struct OneLine<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = OneLineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLineWriter(self.0.make_writer())
    }
}

struct OneLineWriter<W>(W);

impl<W: Write> Write for OneLineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (body, end) = match text.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (&*text, ""),
        };
        let mut line = String::with_capacity(text.len());
        for character in body.chars() {
            if moves_the_cursor(character) {
                line.push_str(&format!("\\u{:04x}", u32::from(character)));
            } else {
                line.push(character);
            }
        }
        line.push_str(end);
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Control characters, line and paragraph separators, and the marks that turn the writing direction.
fn moves_the_cursor(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// K2: CR, LF, ANSI, U+2028 in message and field stay one event on one line, in both formats.
    #[test]
    fn an_event_is_one_line_whatever_it_carries() {
        let nasty = "a\r\nINFO forged\u{1b}[2J\u{2028}x\u{85}y\u{202e}";
        for json in [true, false] {
            let sink = Sink::default();
            let make = {
                let sink = sink.clone();
                move || sink.clone()
            };
            let (machine, human) = if json {
                (Some(tracing_subscriber::fmt::layer().json().with_writer(OneLine(make))), None)
            } else {
                (None, Some(tracing_subscriber::fmt::layer().with_writer(OneLine(make))))
            };
            let subscriber = tracing_subscriber::registry().with(machine).with(human);
            tracing::subscriber::with_default(
                subscriber,
                || tracing::info!(email = %nasty, other = nasty, "{nasty}"),
            );
            let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            let body = text.strip_suffix('\n').unwrap();
            assert!(!body.is_empty() && !body.chars().any(moves_the_cursor), "{body:?}");
            if json {
                let event: serde_json::Value = serde_json::from_str(body).unwrap();
                assert_eq!(event["fields"]["email"], nasty, "JSON gives the text back unchanged");
            }
        }
    }

    /// Promise 8: a panic is logged with its place and without its text.
    #[test]
    fn a_panic_is_logged_without_its_text() {
        let sink = Sink::default();
        let make = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let subscriber =
            tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_writer(make));
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let panicked = tracing::subscriber::with_default(subscriber, || {
            std::panic::catch_unwind(|| panic!("code 123456"))
        });
        std::panic::set_hook(before);
        assert!(panicked.is_err());
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("panicked") && text.contains("src/telemetry.rs:"), "{text}");
        assert!(!text.contains("123456"), "{text}");
    }
}
