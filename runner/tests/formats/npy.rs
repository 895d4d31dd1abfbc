use std::fs;

use covertree::error::Error;
use covertree::formats::npy::{read_ids, read_points, read_reals};
use covertree::formats::output::write_npy;
use covertree::points::{Points, Values};
use proptest::prelude::*;

use super::{Folder, refusal};

/// The bytes of an `.npy` file of version 1.0, padded as numpy pads.
pub(super) fn file(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let descr = if descr.starts_with('[') { descr.to_owned() } else { format!("'{descr}'") };
    with_header(&format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"), data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = format!("{header:width$}\n", width = (header.len() + 11).next_multiple_of(64) - 11);
    let len = u16::try_from(padded.len()).unwrap();
    [&b"\x93NUMPY\x01\x00"[..], &len.to_le_bytes(), padded.as_bytes(), data].concat()
}

fn le<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    values.into_iter().flatten().collect()
}

const NUMBERS: [f64; 6] = [0.0, -1.5, 2.25, 1e-30, -0.0, 65_504.0];

#[test]
fn every_legal_type_and_order_gives_the_same_rows() {
    let folder = Folder::new();
    let by_column = [0, 3, 1, 4, 2, 5].map(|place: usize| NUMBERS[place]);
    let single = Values::F32(NUMBERS.iter().map(|&v| v as f32).collect());
    let double = Values::F64(NUMBERS.to_vec());
    for (descr, fortran, bytes, want) in [
        ("<f4", false, le(NUMBERS.map(|v| (v as f32).to_le_bytes())), &single),
        (">f4", false, le(NUMBERS.map(|v| (v as f32).to_be_bytes())), &single),
        ("<f4", true, le(by_column.map(|v| (v as f32).to_le_bytes())), &single),
        ("<f8", false, le(NUMBERS.map(f64::to_le_bytes)), &double),
        (">f8", false, le(NUMBERS.map(f64::to_be_bytes)), &double),
        ("<f8", true, le(by_column.map(f64::to_le_bytes)), &double),
        (">f8", true, le(by_column.map(f64::to_be_bytes)), &double),
    ] {
        let path = folder.file("x.npy", file(descr, fortran, "(2, 3)", &bytes));
        let points = read_points(&path).unwrap();
        assert_eq!((points.len(), points.dim()), (2, 3));
        // Compared as bits, for the sign of zero.
        let bits = |values: &Values| match values {
            Values::F32(values) => values.iter().map(|v| u64::from(v.to_bits())).collect::<Vec<_>>(),
            Values::F64(values) => values.iter().map(|v| v.to_bits()).collect(),
        };
        assert_eq!(bits(points.values()), bits(want), "{descr} {fortran}");
    }
}

#[test]
fn versions_two_and_three_are_read() {
    let folder = Folder::new();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}\n";
    for version in [2, 3] {
        let len = (header.len() as u32).to_le_bytes();
        let data = le([1.0f32, 2.0].map(f32::to_le_bytes));
        let bytes = [&b"\x93NUMPY"[..], &[version, 0], &len, header.as_bytes(), &data].concat();
        let points = read_points(&folder.file("x.npy", bytes)).unwrap();
        assert_eq!(points.into_values(), Values::F32(vec![1.0, 2.0]));
    }
}

#[test]
fn a_large_fortran_array_is_turned_over_block_borders() {
    let folder = Folder::new();
    let (rows, columns) = (1_027, 5);
    let by_column = (0..columns).flat_map(|c| (0..rows).map(move |r| (r * 10 + c) as f32));
    let bytes = le(by_column.map(f32::to_le_bytes));
    let points = read_points(&folder.file("x.npy", file("<f4", true, "(1027, 5)", &bytes))).unwrap();
    let want = (0..rows).flat_map(|r| (0..columns).map(move |c| (r * 10 + c) as f32)).collect();
    assert_eq!(points.into_values(), Values::F32(want));
}

#[test]
fn other_types_are_refused_by_name() {
    let folder = Folder::new();
    for (descr, size, found) in [
        ("<i4", 4, "<i4"),
        ("<i8", 8, "<i8"),
        ("|u1", 1, "|u1"),
        ("|b1", 1, "|b1"),
        ("<f2", 2, "<f2"),
        ("<f16", 16, "<f16"),
        ("<c8", 8, "<c8"),
        ("<c16", 16, "<c16"),
        ("<U3", 12, "<U3"),
        ("|S5", 5, "|S5"),
        ("|O", 8, "|O"),
        ("<M8[us]", 8, "<M8[us]"),
        ("[('x', '<f4'), ('y', '<f4')]", 8, "a structured type"),
        ("[('x', '<f4', (2, 2)), ('y', [('z', '<i4')])]", 20, "a structured type"),
    ] {
        let path = folder.file("x.npy", file(descr, false, "(2, 3)", &vec![0; 6 * size]));
        let message = refusal(&path, read_points(&path));
        assert_eq!(
            message,
            format!("holds values of type {found}, not f32 or f64; convert them, for example with numpy's astype")
        );
    }
}

#[test]
fn other_shapes_are_refused() {
    let folder = Folder::new();
    for (shape, shown) in [("()", "()"), ("(6,)", "(6,)"), ("(1, 2, 3)", "(1, 2, 3)"), ("(6, 1, 1, 1)", "(6, 1, 1, 1)")]
    {
        let path = folder.file("x.npy", file("<f4", false, shape, &[0; 24]));
        let message = refusal(&path, read_points(&path));
        assert!(message.starts_with(&format!("holds an array of shape {shown}, not two axes")), "{message}");
    }
    let path = folder.file("x.npy", file("<f4", false, "(0, 3)", &[]));
    assert!(refusal(&path, read_points(&path)).starts_with("holds no rows"));
    let path = folder.file("x.npy", file("<f4", false, "(3, 0)", &[]));
    assert!(refusal(&path, read_points(&path)).starts_with("holds no columns"));
    let path = folder.file("x.npy", file("<f4", false, "(2147483647, 1)", &[]));
    assert!(refusal(&path, read_points(&path)).starts_with("holds 2147483647 rows where at most 2147483646"));
}

#[test]
fn values_that_are_not_finite_are_named_by_row_and_column() {
    let folder = Folder::new();
    for (value, shown) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        let mut values = [0.0; 12];
        (values[7], values[11]) = (value, value);
        let path = folder.path("x.npy");
        write_npy(&path, &[4, 3], &values).unwrap();
        let want = format!("row 2, column 1 (counted from 0) is {shown}; remove such rows or fill them in");
        assert_eq!(refusal(&path, read_points(&path)), want);
        write_npy(&path, &[4, 3], &values.map(|v| v as f32)).unwrap();
        assert_eq!(refusal(&path, read_points(&path)), want);
    }
    // In Fortran order too, the place is that of the matrix, not of the file.
    let bytes = le([1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0].map(f64::to_le_bytes));
    let path = folder.file("x.npy", file("<f8", true, "(3, 2)", &bytes));
    assert!(refusal(&path, read_points(&path)).starts_with("row 0, column 1 (counted from 0) is NaN"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = Folder::new();
    let whole = file("<f4", false, "(3, 2)", &[0; 24]);
    assert!(read_points(&folder.file("x.npy", &whole)).is_ok());
    for len in 1..whole.len() {
        let path = folder.file("x.npy", &whole[..len]);
        let message = refusal(&path, read_points(&path));
        let data = len as i64 - (whole.len() as i64 - 24);
        match data {
            ..0 => assert!(message.starts_with("is not a readable .npy file ("), "{message}"),
            _ => assert!(message.starts_with(&format!("has {data} bytes of values where its header promises 24;"))),
        }
    }
    let path = folder.file("x.npy", [&whole[..], b"x"].concat());
    assert!(refusal(&path, read_points(&path)).starts_with("has 25 bytes of values where its header promises 24;"));
}

#[test]
fn headers_that_lie_are_refused_without_a_large_allocation() {
    let folder = Folder::new();
    let refuse = |bytes: Vec<u8>| {
        let path = folder.file("x.npy", bytes);
        refusal(&path, read_points(&path))
    };
    // Lengths of the header itself.
    let long = [&b"\x93NUMPY\x02\x00"[..], &u32::MAX.to_le_bytes(), b"{'descr'"].concat();
    assert!(refuse(long).contains("its header claims 4294967295 bytes"));
    let past_the_end = [&b"\x93NUMPY\x01\x00"[..], &400u16.to_le_bytes(), &[b' '; 399]].concat();
    assert!(refuse(past_the_end).contains("its header claims 400 bytes"));
    // Shapes beyond the file, beyond memory, beyond 64 bits.
    assert!(refuse(file("<f8", false, "(1000000, 1000000)", &[0; 64])).contains("promises 8000000000000;"));
    for shape in ["(9999999999, 9999999999)", "(1, 99999999999999999999)", "(0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)"] {
        assert!(refuse(file("<f8", false, shape, &[0; 64])).contains("does not describe an array of plain values"));
    }
    assert!(refuse(file("<f8", false, "(1000000000, 999999999)", &[])).contains("promises 7999999992000000000;"));
    assert!(refuse(file("<f8", false, "(1000000000, 9999999999)", &[])).contains("does not describe"));
    // Brackets that would exhaust the parser's stack.
    let deep = format!("{{'descr': '<f4', 'shape': {}", "(".repeat(60_000));
    assert!(refuse(with_header(&deep, &[])).contains("does not describe an array of plain values"));
}

#[test]
fn what_is_not_npy_is_refused() {
    let folder = Folder::new();
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }";
    for (bytes, want) in [
        (b"1.0,2.0\n3.0,4.0\n5.0,6.0\n".to_vec(), "signature"),
        (b"PK\x03\x04 an npz file is a zip file".to_vec(), "signature"),
        (b"\x93NUMPZ\x01\x00\x76\x00".to_vec(), "signature"),
        (b"\x93NUMPY\x07\x00\x76\x00".to_vec(), "its version is 7"),
        (with_header("", &[]), "describe an array"),
        (with_header("[1, 2]", &[]), "describe an array"),
        (with_header("{'descr': '<f4'", &[]), "describe an array"),
        (with_header(&good.replace("fortran_order", "order"), &[0; 4]), "describe an array"),
        (with_header(&good.replace("False", "0"), &[0; 4]), "describe an array"),
        (with_header(&good.replace("(1, 1)", "(-1, 1)"), &[0; 4]), "describe an array"),
        (with_header(&good.replace("(1, 1)", "(1.0, 1)"), &[0; 4]), "describe an array"),
        (with_header(&good.replace("(1, 1)", "1"), &[0; 4]), "describe an array"),
        (with_header(&good.replace("<f4", "<q4"), &[0; 4]), "describe an array"),
        (with_header(&good.replace("'<f4'", "'''<f4'''"), &[0; 4]), "plain values"),
        (with_header(&good.replace("<f4", "<f\\x34"), &[0; 4]), "plain values"),
        (with_header(&good.replace("'<f4'", "'<f4"), &[0; 4]), "describe an array"),
    ] {
        let path = folder.file("x.npy", bytes);
        let message = refusal(&path, read_points(&path));
        assert!(message.starts_with("is not a readable .npy file (") && message.contains(want), "{want}: {message}");
    }
}

#[test]
fn ids_and_reals_are_read_from_vectors_and_matrices() {
    let folder = Folder::new();
    let path = folder.path("ids.npy");
    write_npy(&path, &[2, 2], &[3i32, -1, i32::MAX, 0]).unwrap();
    let ids = read_ids(&path).unwrap();
    assert_eq!((ids.shape, ids.values), (vec![2, 2], vec![3, -1, i32::MAX, 0]));
    write_npy(&path, &[3], &[3i64, -1, 7]).unwrap();
    let ids = read_ids(&path).unwrap();
    assert_eq!((ids.shape, ids.values), (vec![3], vec![3, -1, 7]));
    write_npy(&path, &[3], &[3i64, 1 << 31, 7]).unwrap();
    assert!(refusal(&path, read_ids(&path)).starts_with("value number 1 (counted from 0) is 2147483648"));
    assert!(refusal(&path, read_reals(&path)).starts_with("holds values of type <i8, not f32 or f64"));
    write_npy(&path, &[0, 4], &[0.0f64; 0]).unwrap();
    assert_eq!(read_reals(&path).unwrap().shape, [0, 4]);
    write_npy(&path, &[2], &[0.1f32, f32::INFINITY]).unwrap();
    assert_eq!(read_reals(&path).unwrap().values, [f64::from(0.1f32), f64::INFINITY]);
    assert!(refusal(&path, read_ids(&path)).starts_with("holds values of type <f4, not i32 or i64"));
    write_npy(&path, &[1, 1, 1], &[1i32]).unwrap();
    assert!(refusal(&path, read_ids(&path)).starts_with("holds an array of shape (1, 1, 1), not one or two axes"));
    let path = folder.file("x.npy", file("<i4", true, "(2, 2)", &le([1i32, 2, 3, 4].map(i32::to_le_bytes))));
    assert_eq!(read_ids(&path).unwrap().values, [1, 3, 2, 4]);
}

#[test]
fn files_are_written_byte_for_byte_as_documented() {
    let folder = Folder::new();
    let path = folder.path("x.npy");
    write_npy(&path, &[1, 2], &[1i32, -2]).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 128 + 8);
    assert!(
        bytes.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, ), }")
    );
    assert!(bytes.ends_with(&[1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]));
    let error = write_npy(&path, &[3, 2], &[1i32, -2]).unwrap_err();
    assert!(matches!(error, Error::Kernel(_)) && error.to_string().contains("6 elements, not 2"));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read_back(dim in 1usize..6, values in prop::collection::vec(-1e30f64..1e30, 6..80)) {
        let folder = Folder::new();
        let path = folder.path("x.npy");
        let rows = values.len() / dim;
        let values = &values[..rows * dim];
        let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        for points in [Values::F64(values.to_vec()), Values::F32(single)] {
            let points = Points::new(dim, points).unwrap();
            covertree::formats::write_points(&path, &points).unwrap();
            prop_assert_eq!(read_points(&path).unwrap(), points);
        }
    }

}

/// What headers are made of.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    ",",
    " ",
    "'",
    "\"",
    "\n",
    "'descr': ",
    "'fortran_order': ",
    "'shape': ",
    "'<f4'",
    "'>f8'",
    "'|O'",
    "('x', '<f4', (2,))",
    "True",
    "False",
    "(3, 2)",
    "3",
    "99999999",
];

proptest! {
    #[test]
    fn a_header_of_shuffled_parts_never_panics(parts in prop::collection::vec(0..TOKENS.len(), 0..12), braces: bool) {
        let inner: String = parts.iter().map(|&part| TOKENS[part]).collect();
        let header = if braces { format!("{{{inner}}}") } else { inner };
        let folder = Folder::new();
        let path = folder.file("x.npy", with_header(&header, &[0; 24]));
        if let refused @ Err(_) = read_points(&path) {
            refusal(&path, refused);
        }
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0usize..152, byte in any::<u8>(), len in 1usize..153) {
        let mut bytes = file("<f4", false, "(3, 2)", &[0; 24]);
        prop_assert_eq!(bytes.len(), 152);
        bytes[at] = byte;
        bytes.truncate(len);
        let folder = Folder::new();
        let path = folder.file("x.npy", bytes);
        match read_points(&path) {
            Ok(points) => prop_assert!(points.len() * points.dim() <= 6),
            refused => drop(refusal(&path, refused)),
        }
    }
}
