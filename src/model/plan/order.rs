//! Putting steps into an order that satisfies their needs, or naming the circle that prevents it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Steps that need each other in a circle, as indexes, each needing the next, the last the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle(pub Vec<usize>);

/// An order of `0..needs.len()` in which everything comes after what it needs; among those that are
/// free, the lowest index first, so that the order of the files shows.
pub fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Circle> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependents = vec![Vec::new(); needs.len()];
    for (step, needed) in needs.iter().enumerate() {
        for need in needed {
            dependents[*need].push(step);
        }
    }
    let mut free: BinaryHeap<_> = (0..needs.len())
        .filter(|step| open[*step] == 0)
        .map(Reverse)
        .collect();
    let mut sorted = Vec::with_capacity(needs.len());
    while let Some(Reverse(step)) = free.pop() {
        sorted.push(step);
        for dependent in &dependents[step] {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                free.push(Reverse(*dependent));
            }
        }
    }
    if sorted.len() == needs.len() {
        Ok(sorted)
    } else {
        Err(circle(needs, &open))
    }
}

/// Every step that is still open needs another open one: following them must come round.
fn circle(needs: &[Vec<usize>], open: &[usize]) -> Circle {
    let mut path: Vec<usize> = Vec::new();
    let mut at = open.iter().position(|count| *count > 0).unwrap_or_default();
    loop {
        if let Some(start) = path.iter().position(|seen| *seen == at) {
            return Circle(path.split_off(start));
        }
        path.push(at);
        match needs[at].iter().find(|need| open[**need] > 0) {
            Some(next) => at = *next,
            None => return Circle(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_files_shows() {
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
    }

    #[test]
    fn a_circle_is_named_whole() {
        let needs = [vec![], vec![3, 0], vec![1], vec![2], vec![1]];
        assert_eq!(order(&needs), Err(Circle(vec![1, 3, 2])));
    }

    proptest::proptest! {
        #[test]
        fn everything_comes_after_what_it_needs(edges in proptest::collection::vec((0usize..40, 0usize..40), 0..120)) {
            let mut needs = vec![Vec::new(); 40];
            for (a, b) in edges {
                if a != b { needs[a.max(b)].push(a.min(b)); }
            }
            let sorted = order(&needs).unwrap();
            let place = |step| sorted.iter().position(|s| *s == step).unwrap();
            for (step, needed) in needs.iter().enumerate() {
                for need in needed {
                    proptest::prop_assert!(place(*need) < place(step));
                }
            }
        }
    }
}
