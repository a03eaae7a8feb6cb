//! A web server's configuration file: no panic, whatever server it is taken for, and every directive has a line of the
//! file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::host::servers::{block, judge_text};

fn lines(directives: &[block::Directive], most: usize) {
    for directive in directives {
        assert!((1..=most).contains(&directive.line), "{directive:?}");
        lines(directive.block.as_deref().unwrap_or_default(), most);
    }
}

fuzz_target!(|text: &str| {
    for style in [block::Style::Semicolons, block::Style::Lines] {
        if let Some(directives) = block::parse(text, "file", style) {
            lines(&directives, text.matches('\n').count() + 1);
        }
    }
    let _findings = judge_text(text);
});
