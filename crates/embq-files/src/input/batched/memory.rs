//! How much more memory this process may use.

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// Free memory in bytes: the minimum over the system and this process's control group.
pub(super) fn free() -> usize {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let limit = get_current_pid().ok().and_then(|process| {
        let only = ProcessesToUpdate::Some(&[process]);
        system.refresh_processes_specifics(only, false, ProcessRefreshKind::nothing());
        system.process(process)?.cgroup_limits()
    });
    let free = limit.map_or(u64::MAX, |limit| limit.free_memory).min(system.available_memory());
    usize::try_from(free).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_memory_is_free_and_less_than_there_is() {
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        assert!((1..system.total_memory()).contains(&(free() as u64)));
    }
}
