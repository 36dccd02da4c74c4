//! The binary as users see it: arguments in, files, streams and exit codes out.

mod bad_input;
mod broken_files;
mod compare;
mod draws;
mod drift;
mod families;
mod folder;
mod formats;
mod gates;
mod grad;
mod minutes;
mod others;
mod outputs;
mod partial;
mod practice;
mod report;
mod score;
mod unlabelled;
mod watch;
