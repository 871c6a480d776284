//! The words, and what is left of an environment.

use std::ffi::{OsStr, OsString};

use super::{Launch, environment, words};
use crate::slurm::allocation::Allocation;

/// What srun(1) of 22.05 to 24.11 lists as input options, and those that it reads without saying so.
const OPTIONS: &str = "ACCOUNT ACCTG_FREQ BCAST BCAST_EXCLUDE BURST_BUFFER CLUSTERS \
    CLUSTER_CONSTRAINT COMPRESS CONSTRAINT CORE_SPEC CPU_BIND CPU_BIND_TYPE CPU_BIND_LIST \
    CPU_FREQ_REQ CPUS_PER_GPU CPUS_PER_TASK DEBUG DEBUG_FLAGS DELAY_BOOT DEPENDENCY \
    DISABLE_STATUS DIST_PLANESIZE DISTRIBUTION EPILOG EXACT EXCLUSIVE EXIT_ERROR EXIT_IMMEDIATE \
    EXPORT_ENV GPU_BIND GPU_FREQ GPUS GPUS_PER_NODE GPUS_PER_SOCKET GPUS_PER_TASK GRES GRES_FLAGS \
    HINT HOSTFILE IMMEDIATE JOB_NAME JOB_NUM_NODES JOB_NUM_NODES_HET_GROUP_0 KILL_BAD_EXIT LABELIO \
    MEM_BIND MEM_PER_CPU MEM_PER_GPU MEM_PER_NODE MPI_TYPE NCORES_PER_SOCKET NETWORK NNODES \
    NO_KILL NPROCS NSOCKETS_PER_NODE NTASKS NTASKS_PER_CORE NTASKS_PER_GPU NTASKS_PER_NODE \
    NTASKS_PER_SOCKET NTASKS_PER_TRES OOMKILLSTEP OPEN_MODE OVERCOMMIT OVERLAP PARTITION \
    PMI_KVS_NO_DUP_KEYS POWER PROFILE PROLOG QOS REMOTE_CWD REQ_SWITCH RESERVATION RESV_PORTS \
    SEND_LIBS SIGNAL SPREAD_JOB SRUN_MULTI SRUN_REDUCE_TASK_EXIT_MSG STDERRMODE STDINMODE \
    STDOUTMODE STEP_GRES STEP_KILLED_MSG_NODE_ID TASK_EPILOG TASK_PROLOG TEST_EXEC THREAD_SPEC \
    THREADS THREADS_PER_CORE TIMELIMIT TRES_BIND TRES_PER_TASK UMASK UNBUFFEREDIO USE_MIN_NODES \
    WAIT WAIT4SWITCH WCKEY WORKING_DIR STEP_ID STEP_NODELIST PROCID TASKS_PER_NODE";

fn left(names: &[String]) -> Vec<String> {
    let pairs = names.iter().map(|name| (OsString::from(name), OsString::from("7")));
    let left = environment(pairs).into_iter();
    left.map(|(name, _)| name.into_string().unwrap()).collect()
}

#[test]
fn no_option_of_sruns_is_left_in_its_environment() {
    let mut options: Vec<String> =
        OPTIONS.split_whitespace().map(|name| format!("SLURM_{name}")).collect();
    for name in ["SRUN_CPUS_PER_TASK", "SRUN_CONTAINER", "SRUN_EXPORT_ENV", "SLURMD_DEBUG"] {
        options.push(name.to_owned());
    }
    assert_eq!(left(&options), [""; 0]);
    assert_eq!(left(&["SLURM_OPTION_OF_TOMORROW".to_owned()]), [""; 0]);
}

#[test]
fn job_configuration_token_and_what_is_no_option_is_kept() {
    let kept: Vec<String> = [
        "SLURM_JOB_ID",
        "SLURM_JOBID",
        "SLURM_JOB_NODELIST",
        "SLURM_JOB_GPUS",
        "SLURM_CONF",
        "SLURM_CONF_SERVER",
        "SLURM_JWT",
        "SLURM_SACK_SOCKET",
        "SLURM_CLUSTER_NAME",
        "SLURM_WORKING_CLUSTER",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_RESTART_COUNT",
        "SLURM_SUBMIT_DIR",
        "PATH",
        "MY_SLURM_NTASKS",
        "SLURMISH",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(left(&kept), kept);
}

fn allocation(cpus: &str) -> Allocation {
    let variable = |name: &str| match name {
        "SLURM_JOB_ID" => Some("12".to_owned()),
        "SLURM_JOB_NODELIST" => Some("n[1-3]".to_owned()),
        "SLURM_JOB_CPUS_PER_NODE" => Some(cpus.to_owned()),
        _ => None,
    };
    Allocation::read(variable).unwrap().unwrap()
}

fn line(cpus: &str, nodes: &[&str]) -> String {
    let (allocation, arguments) = (allocation(cpus), ["--as-agent".into()]);
    let agent = OsStr::new("/opt/px run");
    let launch = Launch { allocation: &allocation, nodes, agent, arguments: &arguments };
    let words: Vec<String> =
        words(&launch).into_iter().map(|word| word.into_string().unwrap()).collect();
    words.join("|")
}

const START: &str = "srun|--overlap|--mpi=none|--cpu-bind=none|--mem=0|-K0|--unbuffered|--wait=0|";

#[test]
fn one_agent_starts_on_each_node_with_all_of_its_cpus() {
    assert_eq!(
        line("4(x3)", &["n3", "n1", "n2"]),
        format!(
            "{START}-N|3|-n|3|--ntasks-per-node=1|--nodelist=n[1-3]|--cpus-per-task=4|\
             /opt/px run|--as-agent"
        )
    );
    assert_eq!(
        line("4,2(x2)", &["n3", "n2"]),
        format!(
            "{START}-N|2|-n|2|--ntasks-per-node=1|--nodelist=n2,n3|--cpus-per-task=2|\
             /opt/px run|--as-agent"
        )
    );
}

#[test]
fn where_shares_differ_no_number_of_cpus_fits_every_node() {
    assert_eq!(
        line("3,1(x2)", &["n1", "n2", "n3"]),
        format!("{START}-N|3|-n|3|--ntasks-per-node=1|--nodelist=n[1-3]|/opt/px run|--as-agent")
    );
}
