use covertree::formats::{Header, ReadOptions, read_points};
use covertree::points::Values;
use proptest::prelude::*;

use super::{Folder, choose, read, refusal};

/// The columns and the values of a table.
fn table(text: &str, options: &ReadOptions) -> (usize, Vec<f64>) {
    let folder = Folder::new();
    let points = read_points(&folder.file("x.csv", text), options).unwrap();
    match (points.dim(), points.into_values()) {
        (dim, Values::F64(values)) => (dim, values),
        _ => panic!("text is read in double precision"),
    }
}

/// The message for a table that must be refused.
#[track_caller]
fn refuse(text: impl AsRef<[u8]>, options: &ReadOptions) -> String {
    let folder = Folder::new();
    let path = folder.file("x.csv", text);
    refusal(&path, read_points(&path, options))
}

#[test]
fn all_dialects_give_the_same_rows() {
    let want = (2, vec![1.0, -2.5, 3e2, 0.125]);
    for text in [
        "1,-2.5\n3e2,.125\n",
        "1,-2.5\n3e2,.125",
        "1,-2.5\r\n3e2,.125\r\n",
        "\u{feff}1,-2.5\n3e2,.125\n",
        "1;-2.5\n3e2;.125\n",
        "1\t-2.5\n3e2\t.125\n",
        "1 -2.5\n3e2 .125\n",
        "  1   -2.5 \n\n   \n3e2  .125\n",
        " 1.0 , -2.5\n+300. , 1.25e-1\n",
        "\"1\",\"-2.5\"\n\"300\",\"0.125\"\n",
        "# made by hand\n1,-2.5\n# in between\n\n3e2,.125\n\n",
        "lon,lat\n1,-2.5\n3e2,.125\n",
        "\"a name, quoted\",b\n1,-2.5\n3e2,.125\n",
        "# x, y\nx;y\n1;-2.5\n3e2;.125\n",
    ] {
        assert_eq!(table(text, &ReadOptions::default()), want, "{text:?}");
    }
    let pipes = ReadOptions { delimiter: Some(b'|'), ..ReadOptions::default() };
    assert_eq!(table("1|-2.5\n3e2|.125\n", &pipes), want);
    assert_eq!(table("sea temperature\n1.5\n2.5\n", &ReadOptions::default()), (1, vec![1.5, 2.5]));
}

#[test]
fn columns_are_chosen_by_name_and_by_number() {
    let text = "station,lat,lon\nA7,1,2\nB9,3,4\n";
    assert_eq!(table(text, &choose(&["lon", "lat"])), (2, vec![2.0, 1.0, 4.0, 3.0]));
    assert_eq!(table(text, &choose(&["1"])), (1, vec![1.0, 3.0]));
    // Without a header, a text column that is not chosen does no harm.
    assert_eq!(table("A7,1,2\nB9,3,4\n", &choose(&["2", "1"])), (2, vec![2.0, 1.0, 4.0, 3.0]));
    assert_eq!(
        refuse(text, &choose(&["alt"])),
        "has no column \"alt\"; choose among the numbers 0 to 2 or \"station\" \"lat\" \"lon\""
    );
    assert!(refuse(text, &choose(&["3"])).starts_with("has no column 3; choose among the numbers 0 to 2"));
    assert!(
        refuse("x,x\n1,2\n", &choose(&["x"])).contains("several columns are named \"x\"; choose one by its number")
    );
    assert_eq!(table("x,x\n1,2\n", &choose(&["1"])), (1, vec![2.0]));
    // A row with a gap in the chosen columns is not lost as a header: its other cells tell that it is a row.
    let gap = "1,NA,5\n2,3,4\n9,9,9\n";
    let message = refuse(gap, &choose(&["1"]));
    assert!(message.starts_with("the first line mixes numbers and text (column 1, counted from 0, holds \"NA\");"));
    assert!(message.contains("say which it is with --header absent or present"), "{message}");
    let absent = ReadOptions { header: Header::Absent, ..choose(&["1"]) };
    assert!(refuse(gap, &absent).starts_with("row 0, column 1 (counted from 0; line 1) holds \"NA\""));
    let present = ReadOptions { header: Header::Present, ..choose(&["1"]) };
    assert_eq!(table(gap, &present), (1, vec![3.0, 9.0]));
    let wide: String = (0..50).map(|c| format!("c{c},")).collect::<String>() + "end\n";
    assert!(refuse(wide, &choose(&["y"])).ends_with("\"c7\" ..."));
}

#[test]
fn the_header_can_be_told() {
    let as_header = ReadOptions { header: Header::Present, ..ReadOptions::default() };
    assert_eq!(table("0,1\n5,6\n", &as_header), (2, vec![5.0, 6.0]));
    assert_eq!(
        table("2015,2016\n5,6\n", &ReadOptions { columns: choose(&["1"]).columns, ..as_header }),
        (1, vec![6.0])
    );
    let as_row = ReadOptions { header: Header::Absent, ..ReadOptions::default() };
    assert!(refuse("x,y\n5,6\n", &as_row).starts_with("row 0, column 0 (counted from 0; line 1) holds \"x\""));
    let message = refuse("1.0,x,3\n4,5,6\n", &ReadOptions::default());
    assert!(message.starts_with("the first line mixes numbers and text (column 1, counted from 0, holds \"x\");"));
    assert!(
        refuse(",0,1\n0,5,6\n", &ReadOptions::default()).starts_with("the first line mixes numbers and text (column 0")
    );
}

#[test]
fn ragged_rows_are_named() {
    for (text, want) in [
        ("1,2\n3,4\n5\n", "row 2 (counted from 0; line 3) has a cell count of 1 where the first line has 2;"),
        ("1,2\n3,4,5\n", "row 1 (counted from 0; line 2) has a cell count of 3 where the first line has 2;"),
        ("a,b\n\n# note\n1,2,\n", "row 0 (counted from 0; line 4) has a cell count of 3 where the first line has 2;"),
        ("a;b\r\n1;2\r\n\r\n3\r\n", "row 1 (counted from 0; line 4) has a cell count of 1 where the first line has 2;"),
        ("1 2\n3  4\n\n5 6 7\n", "row 2 (counted from 0; line 4) has a cell count of 3 where the first line has 2;"),
    ] {
        let message = refuse(text, &ReadOptions::default());
        assert!(message.starts_with(want), "{text:?}: {message}");
    }
}

#[test]
fn cells_that_are_no_finite_number_are_named() {
    for (text, want) in [
        (
            "lon,lat\n1,2\n3,north\n",
            "row 1, column 1 named \"lat\" (counted from 0; line 3) holds \"north\", which is not a number;",
        ),
        ("1,2\n3,\n", "row 1, column 1 (counted from 0; line 2) is empty;"),
        ("1,2\n , 4\n", "row 1, column 0 (counted from 0; line 2) is empty;"),
        ("1,2\n3,NaN\n", "row 1, column 1 (counted from 0; line 2) holds \"NaN\", which is not finite;"),
        ("nan,2\n3,4\n", "row 0, column 0 (counted from 0; line 1) holds \"nan\", which is not finite;"),
        ("1,2\n-inf,4\n", "row 1, column 0 (counted from 0; line 2) holds \"-inf\", which is not finite;"),
        ("1,2\n3,1e999\n", "row 1, column 1 (counted from 0; line 2) holds \"1e999\", which is not finite;"),
        ("1,2\n3,NA\n", "row 1, column 1 (counted from 0; line 2) holds \"NA\", which is not a number;"),
        ("1;2\n3,5;4\n", "row 1, column 0 (counted from 0; line 2) holds \"3,5\", which is not a number;"),
        ("1,2\n\"a\nb\",4\n", "row 1, column 0 (counted from 0; line 2) holds \"a\\nb\", which is not a number;"),
    ] {
        let message = refuse(text, &ReadOptions::default());
        assert!(message.starts_with(want), "{text:?}: {message}");
    }
    let long = format!("1,2\n3,{}\n", "x".repeat(10_000));
    assert!(refuse(long, &ReadOptions::default()).contains("xxx...\""));
    assert!(refuse(b"1,2\n3,\xff\xfe\n", &ReadOptions::default()).contains("which is not a number"));
}

#[test]
fn tables_without_rows_and_binary_files_are_refused() {
    for text in ["x,y\n", "\n\n", "# only a note\n", "x,y"] {
        assert!(refuse(text, &ReadOptions::default()).starts_with("holds no rows"), "{text:?}");
    }
    let binary = super::npy::file("<f4", false, "(1, 1)", &[0; 4]);
    assert!(refuse(binary, &ReadOptions::default()).contains("it holds zero bytes"));
}

proptest! {
    #[test]
    fn numbers_are_read_back_to_the_last_bit(dim in 1usize..5, values in prop::collection::vec(any::<f64>(), 4..60)) {
        let rows = values.len() / dim;
        let finite: Vec<f64> = values.iter().map(|v| if v.is_finite() { *v } else { 0.5 }).take(rows * dim).collect();
        for delimiter in [",", ";", "\t", " ", "   "] {
            let line = |row: &[f64]| row.iter().map(f64::to_string).collect::<Vec<_>>().join(delimiter) + "\n";
            let text: String = finite.chunks(dim).map(line).collect();
            let (columns, read) = table(&text, &ReadOptions::default());
            prop_assert_eq!(columns, dim);
            prop_assert!(read.iter().zip(&finite).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in "[-0-9a,; \t\"#.e\r\n]{1,60}") {
        let folder = Folder::new();
        let path = folder.file("x.csv", text);
        if let refused @ Err(_) = read(&path) {
            refusal(&path, refused);
        }
    }
}
