//! Renders terminal output as SVG: `CLICOLOR_FORCE=1 embq score ... | cargo run --example terminal_picture --
//! 'COMMAND'`.

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let mut shown = String::new();
    for command in std::env::args().skip(1) {
        shown.push_str(&format!("\u{1b}[1;32m$\u{1b}[0m {command}\n"));
    }
    std::io::stdin().read_to_string(&mut shown)?;
    let picture = anstyle_svg::Term::new().palette(anstyle_svg::WIN10_CONSOLE).render_svg(&shown);
    std::io::stdout().write_all(picture.as_bytes())
}
