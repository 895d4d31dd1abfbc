//! Links without start-up files and libraries: the program has its own entry.
fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-env-changed=COVERTREE_TREE_FILE");
    println!("cargo:rerun-if-env-changed=COVERTREE_POINTS_FILE");
}
