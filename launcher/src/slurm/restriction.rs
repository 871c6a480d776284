//! A hostfile or `-H` inside an allocation: which of its nodes are used, and how much of each.

use std::collections::HashMap;

use px_runtime::failure::Message;

use super::allocation::{Allocation, Node};
use crate::hostfile::allocation::{Host, Slots};
use crate::hostfile::fault::Found;

/// Most names that a message lists.
const MOST_LISTED: usize = 8;

impl Allocation {
    /// Restricts the allocation to the hosts that were listed, in the order of that list. A host without
    /// slots of its own has those of its node.
    ///
    /// # Errors
    /// Hosts that are no nodes of the job; more slots than a node has; a user or a port.
    pub fn restrict(&self, listed: Vec<Host>) -> Result<Vec<Host>, Message> {
        let nodes: HashMap<&str, &Node> =
            self.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let node = |host: &Host| nodes.get(host.host.as_str()).copied();
        let strange: Vec<&Host> = listed.iter().filter(|host| node(host).is_none()).collect();
        if let [first, ..] = strange.as_slice() {
            return Err(self.strangers(first, &strange));
        }
        listed.into_iter().filter_map(|host| Some(self.restrict_to(node(&host)?, host))).collect()
    }

    fn restrict_to(&self, node: &Node, host: Host) -> Result<Host, Message> {
        if host.user.is_some() || host.port.is_some() {
            let text = "must have no user and no port inside a Slurm job, whose steps start \
                        without ssh";
            return Err(Message::new(format!("{}: `{}` {text}", host.place, host.host))
                .help("remove them, or use `--backend ssh`"));
        }
        match host.slots {
            Slots::Cores => {
                Ok(Host { slots: Slots::Counted(node.slots), reason: self.reason(node), ..host })
            }
            Slots::Counted(slots) if slots <= node.slots => Ok(host),
            Slots::Counted(slots) => {
                let text = format!(
                    "{}: `{}` must have at most `slots={}`, as in {}, found {slots} slots",
                    host.place,
                    host.host,
                    node.slots,
                    self.title()
                );
                Err(Message::new(text).help("use fewer slots, or ask Slurm for more tasks"))
            }
        }
    }

    fn strangers(&self, first: &Host, strange: &[&Host]) -> Message {
        let names = strange.iter().take(MOST_LISTED).map(|host| format!("`{}`", host.host));
        let mut names = names.collect::<Vec<_>>().join(", ");
        if strange.len() > MOST_LISTED {
            names.push_str(&format!(" and {} more", strange.len() - MOST_LISTED));
        }
        let nodes = Found::new(&self.nodelist);
        let title = self.title();
        Message::new(format!("{}: hosts must be nodes of {title}, found {names}", first.place))
            .note(format!("{title} has the nodes {nodes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Allocation;
    use crate::hostfile::allocation::{Slots, allocate};
    use crate::hostfile::parse_list;
    use crate::placement::{MapBy, Origin, Oversubscribe, Wish, place};

    fn allocation() -> Allocation {
        let variable = |name: &str| {
            let value = match name {
                "SLURM_JOB_ID" => "12",
                "SLURM_JOB_NODELIST" => "n[1-3]",
                "SLURM_JOB_CPUS_PER_NODE" => "4,2(x2)",
                "SLURM_TASKS_PER_NODE" => "3,2,1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        Allocation::read(variable).unwrap().unwrap()
    }

    /// `name/slots: reason` of each host.
    fn restricted(list: &str) -> Result<Vec<String>, String> {
        let listed = allocate(&parse_list(list).unwrap()).unwrap();
        let hosts = allocation().restrict(listed).map_err(|message| message.render("error"))?;
        Ok(hosts
            .into_iter()
            .map(|host| match host.slots {
                Slots::Counted(slots) => format!("{}/{slots}: {}", host.host, host.reason),
                Slots::Cores => panic!("{} has no count", host.host),
            })
            .collect())
    }

    #[test]
    fn a_list_takes_from_the_allocation_in_its_own_order() {
        let all = ["n3/1: tasks of Slurm job 12", "n1/2: `slots=2` at -H:1:4"];
        assert_eq!(restricted("n3,n1:2").unwrap(), all);
        assert_eq!(restricted("n1,n1,n1").unwrap(), ["n1/3: 3 lines, -H:1:1 to -H:1:7"]);
    }

    #[test]
    fn hosts_outside_the_allocation_are_all_named() {
        assert_eq!(
            restricted("n2,m1,n4:2").unwrap_err(),
            "pxrun: error: -H:1:4: hosts must be nodes of Slurm job 12, found `m1`, `n4`\n  \
             note: Slurm job 12 has the nodes `n[1-3]`\n"
        );
        assert!(restricted("m[1-20]").unwrap_err().contains("`m8` and 12 more\n"));
    }

    #[test]
    fn more_slots_than_a_node_has_are_refused() {
        assert_eq!(
            restricted("n1:3,n2:4").unwrap_err(),
            "pxrun: error: -H:1:6: `n2` must have at most `slots=2`, as in Slurm job 12, found 4 \
             slots\n  help: use fewer slots, or ask Slurm for more tasks\n"
        );
        assert!(restricted("n3,n3").unwrap_err().contains("at most `slots=1`"));
    }

    #[test]
    fn nobody_logs_in_inside_an_allocation() {
        for list in ["ann@n1", "n1 port=22"] {
            let message = restricted(list).unwrap_err();
            assert!(
                message.starts_with("pxrun: error: -H:1:1: `n1` must have no user"),
                "{message}"
            );
        }
    }

    #[test]
    fn more_ranks_than_the_allocation_has_tasks_are_refused_with_the_arithmetic() {
        let allocation = allocation();
        let rooms: Vec<_> = allocation.hosts().iter().filter_map(|host| host.room(None)).collect();
        let mut wish = Wish {
            np: Some(7),
            map_by: MapBy::Slot,
            ranks_per_host: None,
            oversubscribe: Oversubscribe::No,
        };
        let from = Origin { name: allocation.title(), more: "ask Slurm for more tasks" };
        let refused = place(&rooms, &wish, &from).unwrap_err().render("error");
        let said = "pxrun: error: 7 ranks do not fit in 6 slots\n  \
                    note: n1 has 3 slots, n2 has 2, n3 has 1 (from Slurm job 12)\n";
        assert!(refused.starts_with(said), "{refused}");
        wish.np = None;
        assert_eq!(place(&rooms, &wish, &from).unwrap(), [0, 0, 0, 1, 1, 2]);
    }
}
