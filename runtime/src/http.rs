//! How both APIs listen: HTTP/1.1 with a limit on connections, on the size of a request's head and on the time that it may
//! take, and an orderly end. It knows connections and nothing of what is asked on them.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

/// How long the head of the next request may take, from the end of the last answer to its last byte: ends slow clients and
/// idle connections alike. Longer than load balancers keep an idle connection (60 s), so that it is theirs to close.
pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(75);

/// Largest head of a request, bytes. The longest token and idempotency key need a tenth of it. A larger head is answered
/// with 431, and one with more than 100 header lines, too.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// When the system has no socket for the next connection, it is asked again after this time.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How to listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen {
    /// Open connections; the next ones wait in the system's queue.
    pub(crate) connections_max: usize,
    /// Handlers want to know the address of the other side, as [`ConnectInfo`]. It costs each request a little.
    pub(crate) tell_peer: bool,
}

/// Serves until `stop`, then lets requests finish; streams must end by themselves.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    listen: Listen,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX);
    let http = Arc::new(http);
    let places = Arc::new(Semaphore::new(listen.connections_max));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((accept(&listener).await, place))
        };
        let next = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let Some(((socket, peer), place)) = next else {
            break;
        };
        let peer = listen.tell_peer.then_some(peer);
        let talk = talk(http.clone(), socket, router.clone(), peer, stop.clone());
        connections.spawn(async move {
            talk.await;
            drop(place);
        });
    }
    // Whoever connects now is refused at once instead of waiting for nobody.
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Without it an answer waits for the previous segment's acknowledgement. A socket that is gone already
                // fails later.
                if let Err(error) = socket.set_nodelay(true) {
                    debug!(%error, "socket keeps its delay");
                }
                return (socket, peer);
            }
            // The other side changed its mind.
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            Err(error) => {
                warn!(%error, "no connection can be accepted at the moment");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn talk(
    http: Arc<http1::Builder>,
    socket: TcpStream,
    router: Router,
    peer: Option<SocketAddr>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        router.clone().call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection broke off");
    }
}
