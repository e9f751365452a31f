//! Blocking questions from async handlers: bounded in number and in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::status::{refusal, status_of};
use super::{Backend, BackendError};

/// Questions that a backend answers at the same time; more wait.
const CALLS_MAX: usize = 8;

/// The longest that a question may take, whatever the client allows.
const DEADLINE_MAX: Duration = Duration::from_secs(30);

/// Asks the backend on threads that may block.
#[derive(Clone)]
pub struct Calls {
    backend: Arc<dyn Backend>,
    blocking: Blocking,
}

impl Calls {
    pub fn new(backend: Arc<dyn Backend>) -> Calls {
        Calls { backend, blocking: Blocking::default() }
    }

    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    /// Asks within the deadline.
    pub async fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        question: impl FnOnce(&dyn Backend) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, Status> {
        let backend = Arc::clone(&self.backend);
        self.blocking.ask(deadline, move || question(backend.as_ref())).await
    }
}

/// Places on threads that may block.
#[derive(Clone)]
pub struct Blocking {
    permits: Arc<Semaphore>,
}

impl Default for Blocking {
    fn default() -> Blocking {
        Blocking { permits: Arc::new(Semaphore::new(CALLS_MAX)) }
    }
}

impl Blocking {
    /// Asks within the deadline. A question that is given up goes on in its
    /// thread and keeps its permit, so that impatient clients cannot pile up
    /// work.
    pub async fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        question: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, Status> {
        let answer = async {
            let permit = Arc::clone(&self.permits)
                .acquire_owned()
                .await
                .map_err(|_| Status::unavailable("the server is stopping"))?;
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                question()
            })
            .await
            .map_err(|_| refusal(tonic::Code::Internal, "PANIC", "the question was not survived"))?
            .map_err(|error| status_of(&error))
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
            Err(refusal(
                tonic::Code::DeadlineExceeded,
                "DEADLINE",
                &format!("no answer within {} ms", deadline.as_millis()),
            ))
        })
    }
}

/// How long the client waits (header `grpc-timeout`), at most our own limit.
pub fn deadline<T>(request: &Request<T>) -> Duration {
    timeout_of(request.metadata()).map_or(DEADLINE_MAX, |asked| asked.min(DEADLINE_MAX))
}

fn timeout_of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // The protocol allows eight digits at most.
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_patience_is_read_and_bounded() {
        let wait = |text: &'static str| {
            let mut request = Request::new(());
            request.metadata_mut().insert("grpc-timeout", text.parse().expect("ascii"));
            deadline(&request)
        };
        assert_eq!(wait("250m"), Duration::from_millis(250));
        assert_eq!(wait("2S"), Duration::from_secs(2));
        assert_eq!(wait("99999999H"), DEADLINE_MAX);
        for nonsense in ["", "S", "12", "-1S", "123456789S", "1x"] {
            assert_eq!(wait(nonsense), DEADLINE_MAX, "{nonsense}");
        }
    }
}
