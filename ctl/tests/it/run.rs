//! Runs a command line in this process and keeps what it said.

use clap::Parser;
use ticketctl::cli::Cli;
use ticketctl::output::Output;

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: u8,
    pub(crate) data: String,
    pub(crate) words: String,
}

/// Runs `ticketctl` with these arguments, as if not on a terminal.
pub(crate) async fn ticketctl(args: &[&str]) -> Ran {
    // Only the first test of the process installs it; the others find it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = Cli::try_parse_from(std::iter::once(&"ticketctl").chain(args)).unwrap();
    let (mut data, mut words) = (Vec::new(), Vec::new());
    let format = cli.global.output;
    let exit = {
        let mut output = Output::new(&mut data, &mut words, format, false);
        Box::pin(ticketctl::run(cli, &mut output)).await
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        exit: exit as u8,
        data: text(data),
        words: text(words),
    }
}

/// A kubeconfig that leads nowhere, so that no test talks to a cluster of whoever runs it.
pub(crate) fn no_cluster() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n",
    )
    .unwrap();
    file
}
