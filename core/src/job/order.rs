//! An order in which things can be done that come after each other.

use std::collections::HashSet;

/// What is in a circle, each after the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Circle(pub(super) Vec<usize>);

/// Positions in an order in which each comes after those in its `after`; as close to the order given as that allows.
///
/// # Errors
/// A [`Circle`], when there is no such order. Positions that do not exist are taken for done.
pub(super) fn order(after: &[Vec<usize>]) -> Result<Vec<usize>, Circle> {
    let mut order: Vec<usize> = Vec::with_capacity(after.len());
    let mut done: HashSet<usize> = HashSet::new();
    while order.len() < after.len() {
        let ready = (0..after.len())
            .find(|n| !done.contains(n) && after[*n].iter().all(|before| done.contains(before) || *before >= after.len()));
        match ready {
            Some(n) => {
                done.insert(n);
                order.push(n);
            }
            None => return Err(circle(after, &done)),
        }
    }
    Ok(order)
}

/// Among what is not done everything waits for something else that is not done: walking from one to the next must come back.
fn circle(after: &[Vec<usize>], done: &HashSet<usize>) -> Circle {
    let mut path: Vec<usize> = Vec::new();
    let mut at = (0..after.len()).find(|n| !done.contains(n));
    while let Some(n) = at {
        if let Some(seen) = path.iter().position(|p| *p == n) {
            let mut circle = path.split_off(seen);
            circle.reverse();
            let first = circle.iter().enumerate().min_by_key(|(_, n)| **n).map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            return Circle(circle);
        }
        path.push(n);
        at = after[n].iter().copied().find(|before| *before < after.len() && !done.contains(before));
    }
    Circle(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_stay_in_its_place_does() {
        assert_eq!(order(&[vec![], vec![0], vec![0]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![7]]), Ok(vec![0]));
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn a_circle_is_named_without_what_merely_waits_for_it() {
        // 3 waits for the circle of 0, 1 and 2.
        assert_eq!(order(&[vec![2], vec![0], vec![1], vec![0]]), Err(Circle(vec![0, 1, 2])));
        assert_eq!(order(&[vec![0]]), Err(Circle(vec![0])));
    }
}
