//! `ticketctl man`: manual pages, made from the command line's own description.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Ended;
use crate::cli::{self, Cli};
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) fn run(flags: &cli::Man, output: &mut Output<'_>) -> Ended {
    let pages = pages();
    if let Some(folder) = &flags.dir {
        write_all(folder, &pages).map_err(|error| {
            let what = format!("could not write the pages to {}", folder.display());
            Failure::new(Exit::Error, anyhow::Error::new(error).context(what))
                .or_next("name a folder with --dir that you may write to")
        })?;
        output.word(&format!(
            "{} pages are in {}",
            pages.len(),
            folder.display()
        ));
        return Ok(Exit::Ok);
    }
    let name = [&["ticketctl".to_owned()], flags.command.as_slice()]
        .concat()
        .join("-");
    let Some(page) = pages.iter().find(|page| page.name == name) else {
        let unknown = anyhow::anyhow!("no command is called {:?}", flags.command.join(" "));
        return Err(Failure::new(Exit::NotFound, unknown).or_next("`ticketctl --help` lists all"));
    };
    output.text(&String::from_utf8_lossy(&page.roff))?;
    Ok(Exit::Ok)
}

struct Page {
    /// `ticketctl-events-list`.
    name: String,
    roff: Vec<u8>,
}

/// A page for each command.
fn pages() -> Vec<Page> {
    let mut whole = Cli::command();
    // Flags of every command are on every page.
    whole.build();
    let mut pages = Vec::new();
    add(&whole, "", &mut pages);
    pages
}

fn add(command: &Command, before: &str, pages: &mut Vec<Page>) {
    let name = match before {
        "" => command.get_name().to_owned(),
        before => format!("{before}-{}", command.get_name()),
    };
    let mut roff = Vec::new();
    // Writing to memory does not fail.
    drop(
        Man::new(command.clone())
            .title(name.clone())
            .render(&mut roff),
    );
    if let Some(examples) = command.get_before_help() {
        roff.extend(section("EXAMPLES", &examples.to_string()).bytes());
    }
    pages.push(Page {
        name: name.clone(),
        roff,
    });
    let own = command
        .get_subcommands()
        .filter(|it| it.get_name() != "help");
    for command in own {
        add(command, &name, pages);
    }
}

/// Lines that stay as they are. They are indented, the first here, so that none of them is taken for a request of the formatter.
fn section(title: &str, text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    format!(".SH {title}\n.nf\n  {}\n.fi\n", text.trim())
}

fn write_all(folder: &Path, pages: &[Page]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for Page { name, roff } in pages {
        std::fs::write(folder.join(format!("{name}.1")), roff)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_shows_its_examples() {
        let pages = pages();
        let page = |name: &str| {
            let page = pages.iter().find(|page| page.name == name);
            String::from_utf8(page.unwrap().roff.clone()).unwrap()
        };
        assert!(page("ticketctl").contains("ticketctl doctor"));
        assert!(page("ticketctl-events-wait").contains("\\-\\-for"));
        assert!(page("ticketctl-stock").contains("watch"));
        assert!(!pages.iter().any(|page| page.name.contains("help")));
    }
}
