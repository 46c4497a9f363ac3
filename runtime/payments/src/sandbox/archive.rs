//! Objects in the order in which they were made, found by id and read in Stripe's pages, newest first.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::sandbox::fault::Fault;

/// Something with an id.
pub(super) trait Identified {
    /// Word of the kind in error messages, e.g. `payment_intent`.
    const KIND: &'static str;
    fn id(&self) -> &Arc<str>;
}

/// Something with a moment at which it was made, unix seconds.
pub(super) trait Dated {
    fn created_s(&self) -> i64;
}

/// A bounded archive. The lock is held for a look-up or an append, never while something is written or sent.
#[derive(Debug)]
pub(super) struct Archive<T> {
    limit: usize,
    shelf: RwLock<Shelf<T>>,
}

#[derive(Debug)]
struct Shelf<T> {
    all: Vec<Arc<T>>,
    by_id: HashMap<Arc<str>, usize>,
}

/// What a list asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageWish {
    pub(super) limit: usize,
    pub(super) starting_after: Option<String>,
}

impl<T: Identified> Archive<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            shelf: RwLock::new(Shelf {
                all: Vec::new(),
                by_id: HashMap::new(),
            }),
        }
    }

    /// Keeps `item`, or refuses it when the archive is full.
    pub(super) fn add(&self, item: T) -> Result<Arc<T>, Fault> {
        let item = Arc::new(item);
        let mut kept = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        if kept.all.len() >= self.limit {
            return Err(Fault::full(self.limit, T::KIND));
        }
        let at = kept.all.len();
        kept.by_id.insert(Arc::clone(item.id()), at);
        kept.all.push(Arc::clone(&item));
        Ok(item)
    }

    /// The object with this id. `param` is the parameter that named it.
    pub(super) fn find(&self, id: &str, param: &'static str) -> Result<Arc<T>, Fault> {
        let kept = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let at = kept.by_id.get(id).copied();
        at.and_then(|at| kept.all.get(at).cloned())
            .ok_or_else(|| Fault::resource_missing(T::KIND, id, param))
    }

    /// A page, newest first, and whether there is more.
    pub(super) fn page(&self, wish: &PageWish) -> Result<(Vec<Arc<T>>, bool), Fault> {
        let kept = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let end = match &wish.starting_after {
            None => kept.all.len(),
            Some(id) => kept
                .by_id
                .get(id.as_str())
                .copied()
                .ok_or_else(|| missing_cursor::<T>(id))?,
        };
        Ok(take_before(&kept.all, end, wish.limit))
    }

    /// The same of those that are wanted and were made at `since_s` or later. Reads everything back to then: an archive of
    /// complaints is short.
    pub(super) fn page_since(
        &self,
        wish: &PageWish,
        since_s: i64,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<(Vec<Arc<T>>, bool), Fault>
    where
        T: Dated,
    {
        let found: Vec<Arc<T>> = {
            let kept = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
            let is_in = |item: &&Arc<T>| item.created_s() >= since_s && is_wanted(item);
            kept.all.iter().filter(is_in).cloned().collect()
        };
        page_of(&found, wish)
    }
}

/// A page of a short list, oldest first in `all`, newest first in the answer.
pub(super) fn page_of<T: Identified>(
    all: &[Arc<T>],
    wish: &PageWish,
) -> Result<(Vec<Arc<T>>, bool), Fault> {
    let end = match &wish.starting_after {
        None => all.len(),
        Some(id) => {
            let is_it = |item: &Arc<T>| **item.id() == **id;
            all.iter()
                .position(is_it)
                .ok_or_else(|| missing_cursor::<T>(id))?
        }
    };
    Ok(take_before(all, end, wish.limit))
}

fn missing_cursor<T: Identified>(id: &str) -> Fault {
    Fault::resource_missing(T::KIND, id, "starting_after").with_status_400()
}

fn take_before<T>(all: &[Arc<T>], end: usize, limit: usize) -> (Vec<Arc<T>>, bool) {
    let start = end.saturating_sub(limit);
    (all[start..end].iter().rev().cloned().collect(), start > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Thing(Arc<str>);

    impl Identified for Thing {
        const KIND: &'static str = "thing";
        fn id(&self) -> &Arc<str> {
            &self.0
        }
    }

    fn filled(count: usize) -> Archive<Thing> {
        let archive = Archive::new(5);
        for number in 0..count {
            archive.add(Thing(number.to_string().into())).unwrap();
        }
        archive
    }

    #[test]
    fn pages_go_from_new_to_old_and_meet_without_gap() {
        let archive = filled(5);
        let page = |after: Option<&str>| {
            let wish = PageWish {
                limit: 2,
                starting_after: after.map(str::to_owned),
            };
            let (items, more) = archive.page(&wish).unwrap();
            (
                items
                    .iter()
                    .map(|thing| thing.0.to_string())
                    .collect::<Vec<_>>(),
                more,
            )
        };
        assert_eq!(page(None), (vec!["4".to_owned(), "3".to_owned()], true));
        assert_eq!(
            page(Some("3")),
            (vec!["2".to_owned(), "1".to_owned()], true)
        );
        assert_eq!(page(Some("1")), (vec!["0".to_owned()], false));
        assert_eq!(page(Some("0")), (vec![], false));
        let wish = PageWish {
            limit: 2,
            starting_after: Some("9".to_owned()),
        };
        assert!(archive.page(&wish).is_err());
    }

    #[test]
    fn a_full_archive_says_so_and_forgets_nothing() {
        let archive = filled(5);
        assert!(archive.add(Thing("5".into())).is_err());
        assert!(archive.find("0", "id").is_ok());
        assert!(archive.find("5", "id").is_err());
    }
}
