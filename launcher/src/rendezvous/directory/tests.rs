use std::os::unix::fs::{PermissionsExt, symlink};

use px_runtime::link::keys::PublicKey;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn card(task: u32) -> Card {
    let key = PublicKey::from_bytes([7; 32]);
    Card { job: "a-7.0-0".into(), task, host: "n1".into(), key, addresses: Vec::new() }
}

/// A place for directories, removed at the end with all that is in it.
struct Base(tempfile::TempDir);

impl Base {
    fn new() -> Self {
        Base(tempfile::tempdir().unwrap())
    }

    fn open(&self, task: u32, size: u32) -> Result<Directory, MeetError> {
        Directory::open(self.0.path(), "a-7.0-0", task, size)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a-7.0-0")
    }
}

#[test]
fn all_meet_whoever_comes_first_and_nothing_is_left() {
    let base = Base::new();
    std::thread::scope(|scope| {
        let base = &base;
        let agent = |task| base.open(task, 4).unwrap().meet(&card(task), soon()).unwrap();
        let first = scope.spawn(move || agent(3));
        let mut root = base.open(0, 4).unwrap();
        let others = [1, 2].map(|task| scope.spawn(move || agent(task)));
        assert_eq!(root.collect(soon()).unwrap(), [1, 2, 3].map(card));
        root.announce(&card(0), soon()).unwrap();
        for agent in others.into_iter().chain([first]) {
            assert_eq!(agent.join().unwrap(), card(0));
        }
    });
    assert!(!base.path().exists());
}

#[test]
fn who_is_missing_is_named_and_what_came_is_removed() {
    let base = Base::new();
    let agent = base.open(2, 4).unwrap();
    agent.put(&card(2)).unwrap();
    let error = base.open(0, 4).unwrap().collect(Instant::now()).unwrap_err();
    assert!(
        matches!(&error, MeetError::Missing { missing, others: 3 } if *missing == [1, 3]),
        "{error}"
    );
    assert!(!base.path().exists());
    let error = agent.list().unwrap_err();
    assert!(matches!(error, DirectoryError::Gone(_)), "{error}");
}

#[test]
fn an_agent_whose_root_does_not_come_leaves_nothing() {
    let base = Base::new();
    let error = base.open(1, 2).unwrap().meet(&card(1), Instant::now()).unwrap_err();
    assert!(matches!(error, MeetError::NoRoot), "{error}");
    assert!(!base.path().exists());
}

#[test]
fn a_second_root_and_a_second_agent_of_one_task_are_refused_and_change_nothing() {
    let base = Base::new();
    let root = base.open(0, 2).unwrap();
    let error = base.open(0, 2).err().unwrap();
    let named = format!("`{}/root` is there already", base.path().display());
    assert!(error.to_string().starts_with(&named), "{error}");
    let agent = base.open(1, 2).unwrap();
    agent.put(&card(1)).unwrap();
    let written = std::fs::read(base.path().join("task-1")).unwrap();
    let error = base.open(1, 2).unwrap().meet(&card(1), soon()).unwrap_err();
    assert!(matches!(error, MeetError::Directory(DirectoryError::InUse { .. })), "{error}");
    assert_eq!(std::fs::read(base.path().join("task-1")).unwrap(), written);
    drop(root);
    assert!(!base.path().exists());
}

#[test]
fn a_directory_that_others_can_enter_or_that_leads_elsewhere_is_refused() {
    let base = Base::new();
    std::fs::create_dir(base.path()).unwrap();
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o750)).unwrap();
    let error = base.open(0, 2).err().unwrap().to_string();
    assert!(error.ends_with("must have mode 0700, found 0750"), "{error}");
    std::fs::remove_dir(base.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), base.path()).unwrap();
    let error = base.open(0, 2).err().unwrap().to_string();
    assert!(error.contains("cannot open the directory"), "{error}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn what_is_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let base = Base::new();
    let mut root = base.open(0, 2).unwrap();
    let file = base.path().join("task-1");
    std::fs::write(&file, format!("{}\n", card(1).encode().unwrap())).unwrap();
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let error = root.collect(soon()).unwrap_err().to_string();
    assert!(error.ends_with("task-1` must belong to user 0, found user 65534"), "{error}");
    std::os::unix::fs::chown(base.path(), Some(65534), None).unwrap();
    let error = base.open(1, 2).err().unwrap().to_string();
    assert!(error.ends_with("must belong to user 0, found user 65534"), "{error}");
}

#[test]
fn what_is_no_card_is_refused_and_half_a_card_is_waited_for() {
    let base = Base::new();
    let mut root = base.open(0, 2).unwrap();
    let file = base.path().join("task-1");
    let mut collect = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        root.collect(Instant::now()).unwrap_err()
    };
    let line = card(1).encode().unwrap();
    assert!(matches!(collect(b""), MeetError::Missing { .. }));
    assert!(matches!(collect(line.as_bytes()), MeetError::Missing { .. }));
    assert!(matches!(collect(&[b'x'; 9000]), MeetError::Card { .. }));
    assert!(matches!(collect(b"hello\n"), MeetError::Card { .. }));
    let other = card(3).encode().unwrap() + "\n";
    assert!(matches!(collect(other.as_bytes()), MeetError::OtherTask { wanted: 1, found: 3 }));
    std::fs::remove_file(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    let error = root.collect(Instant::now()).unwrap_err().to_string();
    assert!(error.contains("cannot open"), "{error}");
}

#[test]
fn files_of_somebody_else_stay() {
    let base = Base::new();
    let root = base.open(0, 1).unwrap();
    std::fs::write(base.path().join("notes.txt"), "mine").unwrap();
    drop(root);
    let left: Vec<_> = std::fs::read_dir(base.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].file_name(), "notes.txt");
}
