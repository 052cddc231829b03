use std::time::{Duration, Instant};

/// How long a node that failed is left alone first, and at most.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// Which of the engine's nodes is asked next: one after the other, those that failed not for a while.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// In a row.
    failures: u32,
    left_until: Option<Instant>,
}

impl Nodes {
    pub fn new(count: usize) -> Self {
        Self {
            nodes: vec![Node::default(); count],
            next: 0,
        }
    }

    /// The node to ask. When all have failed, the one that has been left alone longest or would be the first to be asked again.
    pub fn pick(&mut self, now: Instant) -> usize {
        let count = self.nodes.len();
        let order = (0..count).map(|i| (self.next + i) % count);
        let good = |node: &usize| self.nodes[*node].is_good(now);
        let picked = order
            .clone()
            .find(good)
            .or_else(|| order.min_by_key(|node| self.nodes[*node].left_until))
            .unwrap_or_default();
        self.next = picked + 1;
        picked
    }

    /// Whether there is a node that has not failed.
    pub fn any_good(&self, now: Instant) -> bool {
        self.nodes.iter().any(|node| node.is_good(now))
    }

    pub fn succeeded(&mut self, node: usize) {
        self.nodes[node] = Node::default();
    }

    pub fn failed(&mut self, node: usize, now: Instant) {
        let node = &mut self.nodes[node];
        // Several requests fail together.
        if node.is_good(now) {
            let wait = FIRST * 2_u32.pow(node.failures.min(6));
            node.failures += 1;
            node.left_until = Some(now + wait.min(LONGEST));
        } else {
            node.left_until = node.left_until.max(Some(now + FIRST));
        }
    }
}

impl Node {
    fn is_good(&self, now: Instant) -> bool {
        self.left_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(nodes: &mut Nodes, now: Instant, count: usize) -> Vec<usize> {
        (0..count).map(|_| nodes.pick(now)).collect()
    }

    #[test]
    fn all_nodes_have_their_turn_but_those_that_failed() {
        let now = Instant::now();
        let mut nodes = Nodes::new(3);
        assert_eq!(picks(&mut nodes, now, 4), [0, 1, 2, 0]);
        nodes.failed(1, now);
        assert_eq!(picks(&mut nodes, now, 3), [2, 0, 2]);
        let later = now + FIRST;
        assert_eq!(picks(&mut nodes, later, 3), [0, 1, 2]);
    }

    #[test]
    fn a_node_that_goes_on_failing_is_left_for_longer() {
        let mut now = Instant::now();
        let mut nodes = Nodes::new(2);
        for seconds in [5, 10, 20, 40, 60, 60] {
            nodes.failed(0, now);
            let until = now + Duration::from_secs(seconds);
            assert_eq!(
                picks(&mut nodes, until - Duration::from_millis(1), 2),
                [1, 1]
            );
            now = until;
            assert!(picks(&mut nodes, now, 2).contains(&0));
        }
        nodes.succeeded(0);
        nodes.failed(0, now);
        assert!(picks(&mut nodes, now + FIRST, 2).contains(&0));
    }

    #[test]
    fn when_all_have_failed_all_are_tried_in_turn() {
        let mut now = Instant::now();
        let mut nodes = Nodes::new(3);
        let mut seen = Vec::new();
        for _ in 0..9 {
            let node = nodes.pick(now);
            nodes.failed(node, now);
            seen.push(node);
            now += Duration::from_millis(200);
        }
        assert!(!nodes.any_good(now));
        for node in 0..3 {
            assert_eq!(seen.iter().filter(|n| **n == node).count(), 3, "{seen:?}");
        }
    }
}
