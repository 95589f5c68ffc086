//! Not outliving the parent: a local executor that is killed closes its workers' standard input.

use std::{
    io::{self, Read},
    process, thread,
};

/// Ends this process when standard input ends.
pub(crate) fn exit_with_it() {
    thread::spawn(|| {
        // Whatever is written there is of no interest.
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        process::exit(1);
    });
}
