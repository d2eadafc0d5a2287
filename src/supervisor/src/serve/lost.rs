//! A supervisor whose arena is lost: somebody has cut off its object, so nothing of it may be touched.
//! It tells whoever asks, until its keeper tells it to stop.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tallyboard_proto::control::{Refused, RefusedReason, Reply};
use tallyboard_segment::pass::Socket;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::keep::inheritance::{Inheritance, LOST};
use crate::keep::link::{self, ToKeeper, ToSupervisor};
use crate::serve::control;
use crate::serve::door::{Door, Own, guests};
use crate::serve::events::{Event, Events, hear_keeper};
use crate::serve::http::{DRAIN, Http};
use crate::serve::places::places;
use crate::serve::reactor::{both, run_until};

/// Runs such a supervisor; gives the status to end with.
pub(crate) fn run(inheritance: &Inheritance<'_>, link: Socket) -> i32 {
    run_until(serve(inheritance, link), inheritance.config.tell_left_out)
}

async fn serve(inheritance: &Inheritance<'_>, link: Socket) -> io::Result<()> {
    let Inheritance { config, control, metrics, .. } = *inheritance;
    let (events, mut happened) = mpsc::channel(1024);
    let link = Rc::new(both(link)?);
    let http = Http::lacking(config, LOST, events.clone());
    spawn_local(hear_keeper(Rc::clone(&link), events.clone()));
    for listener in metrics.iter().filter_map(|socket| socket.listener.as_ref()) {
        http.listen(listener.try_clone()?)?;
    }
    let asking = both(control.try_clone()?)?;
    let door = Door { guests: guests(config), own: Own::of(config) };
    let places = places(config.slots, config.max_connections);
    spawn_local(control::accept(asking, door, places, events.clone()));
    while let Some(event) = happened.recv().await {
        match event {
            Event::Attach { answer, .. } | Event::Asked { answer, .. } => {
                let refused =
                    Refused { reason: RefusedReason::Unready, detail: LOST.trim_end().to_owned() };
                // Who has hung up meanwhile is told nothing.
                let _ = answer.send(Some((Reply::Refused(refused), None)));
            }
            Event::Keeper(message, descriptor) => {
                obey(message, descriptor, link.get_ref(), &http, &events)?;
            }
            Event::KeeperGone | Event::Stopped => break,
            _ => {}
        }
    }
    Ok(())
}

fn obey(
    message: ToSupervisor,
    descriptor: Option<OwnedFd>,
    link: &Socket,
    http: &Rc<Http>,
    events: &Events,
) -> io::Result<()> {
    match (message, descriptor) {
        (ToSupervisor::Stop, _) => {
            let (http, events) = (Rc::clone(http), events.clone());
            spawn_local(async move {
                // What is not read by then is not waited for.
                let _ = tokio::time::timeout(DRAIN, http.drain()).await;
                let _ = events.send(Event::Stopped).await;
            });
        }
        (ToSupervisor::Ask, _) => link::send(link, ToKeeper::Alive, None)?,
        (ToSupervisor::Listener { .. }, Some(descriptor)) => http.listen(descriptor.into())?,
        (ToSupervisor::Listener { .. }, None) => {
            tracing::error!("a metrics socket of the keeper did not arrive");
        }
    }
    Ok(())
}
