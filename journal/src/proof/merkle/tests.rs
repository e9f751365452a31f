use proptest::prelude::*;

use super::*;

/// The definition, word for word.
fn mth(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            TreeHash::inner(mth(left), mth(right))
        }
    }
}

fn leaves(n: u64) -> Vec<TreeHash> {
    (0..n).map(|i| TreeHash::leaf_of(&i.to_le_bytes())).collect()
}

fn grown(leaves: &[TreeHash], steps: &[u64]) -> Tree {
    let mut tree = Tree::default();
    for size in steps {
        tree.grow(leaves, *size).expect("leaves");
    }
    tree
}

/// The leaves and roots that certificate transparency logs test against.
#[test]
fn known_trees_have_known_roots() {
    let data: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[
            0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d,
            0x6e, 0x6f,
        ],
    ];
    let leaves = data.map(TreeHash::leaf_of);
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, root) in roots.iter().enumerate() {
        let found = Tree::default().root(leaves.as_slice(), size as u64).expect("a root");
        assert_eq!(found.to_string(), *root, "{size} leaves");
    }
    let path = Tree::default().inclusion(leaves.as_slice(), 0, 8).expect("a path");
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    assert_eq!(
        path,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
}

/// Every leaf of every size, every pair of sizes; each proof also with
/// something wrong.
#[test]
fn all_small_trees_prove_what_is_true_and_nothing_else() {
    let all = leaves(71);
    let tree = Tree::default();
    for new in 0..=70u64 {
        let root = tree.root(all.as_slice(), new).expect("a root");
        assert_eq!(root, mth(&all[..new as usize]));
        for index in 0..new {
            let path = tree.inclusion(all.as_slice(), index, new).expect("a path");
            let leaf = all[index as usize];
            assert!(includes(leaf, index, new, &path, root), "{index} of {new}");
            assert!(!includes(all[70], index, new, &path, root));
            for other in 0..new {
                assert_eq!(includes(leaf, other, new, &path, root), other == index);
            }
            assert!(
                !includes(leaf, index, new, &path[..path.len().saturating_sub(1)], root)
                    || path.is_empty()
            );
            assert!(!includes(leaf, index, new, &[&path[..], &[root]].concat(), root));
        }
        assert_eq!(
            tree.inclusion(all.as_slice(), new, new),
            Err(NoLeaf { index: new }),
            "no leaf beyond the end"
        );
        for old in 0..=new {
            let before = (old, mth(&all[..old as usize]));
            let path = tree.consistency(all.as_slice(), old, new).expect("a path");
            assert!(consistent(before, (new, root), &path), "{old} in {new}");
            assert!(!consistent((old, all[70]), (new, root), &path));
            assert!(!consistent(before, (new, all[70]), &path) || old == 0);
            assert!(!consistent(before, (new, root), &[&path[..], &[root]].concat()));
            if let Some((_, fewer)) = path.split_last() {
                assert!(!consistent(before, (new, root), fewer));
            }
            for at in 0..path.len() {
                let mut bad = path.clone();
                bad[at].0[at] ^= 4;
                assert!(!consistent(before, (new, root), &bad), "{old} in {new}, hash {at}");
            }
            if old < new {
                assert!(!consistent((new, root), before, &path), "a log does not shrink");
                assert!(tree.consistency(all.as_slice(), new, old).is_err());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn large_trees_remember_what_they_would_compute(
        sizes in (1u64..5_000, 1u64..5_000),
        steps in proptest::collection::vec(0u64..5_000, 0..6),
        pick in any::<u64>(),
    ) {
        let (old, new) = (sizes.0.min(sizes.1), sizes.0.max(sizes.1));
        let all = leaves(new);
        let steps: Vec<u64> = steps.into_iter().map(|step| step % (new + 1)).collect();
        let tree = grown(&all, &steps);
        let roots = [old, new].map(|n| mth(&all[..n as usize]));
        prop_assert_eq!(tree.root(all.as_slice(), old).expect("a root"), roots[0]);
        prop_assert_eq!(tree.root(all.as_slice(), new).expect("a root"), roots[1]);
        let index = pick % new;
        let path = tree.inclusion(all.as_slice(), index, new).expect("a path");
        prop_assert!(includes(all[index as usize], index, new, &path, roots[1]));
        let path = tree.consistency(all.as_slice(), old, new).expect("a path");
        prop_assert!(consistent((old, roots[0]), (new, roots[1]), &path));
    }
}

/// After growing once, a request looks at a few leaves only.
#[test]
fn whole_blocks_are_hashed_once() {
    struct Counting<'a>(&'a [TreeHash], std::cell::Cell<usize>);
    impl Leaves for Counting<'_> {
        fn hashes(&self, range: Range<u64>) -> Vec<TreeHash> {
            let found = self.0.hashes(range);
            self.1.set(self.1.get() + found.len());
            found
        }
    }
    let all = leaves(12_000);
    let counting = Counting(&all, std::cell::Cell::new(0));
    let mut tree = Tree::default();
    tree.grow(&counting, 12_000).expect("leaves");
    assert_eq!(counting.1.take(), 12_000 / 256 * 256);
    tree.grow(&counting, 12_000).expect("leaves");
    assert_eq!(counting.1.take(), 0);
    assert_eq!(tree.root(&counting, 12_000).expect("a root"), mth(&all));
    tree.inclusion(&counting, 3_333, 12_000).expect("a path");
    tree.consistency(&counting, 7_777, 12_000).expect("a path");
    assert!(counting.1.get() < 2_000, "{} leaves", counting.1.get());
    assert_eq!(Tree::default().root(all.as_slice(), 12_001), Err(NoLeaf { index: 12_000 }));
}
