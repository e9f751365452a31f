#![no_main]
//! The two readers of the vendor's messages agree on any bytes, and what they
//! take can be given back.
use libfuzzer_sys::fuzz_target;
use orrery_fuzz::feeds::massive::wire::probe::{both, round_trip};

const SEEDS: &[&str] = &[
    r#"{"ev":"Q","sym":"O:X241220P00720000","bx":302,"ax":302,"bp":9.71,"ap":9.81,"bs":17,"as":24,"t":1644506128351,"q":844090872}"#,
    r#"[{"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"c":[233,7],"t":1629820676333,"q":651921857}]"#,
    r#"{"ev":"AM","sym":"O:ONEM220121C00025000","v":2,"av":8,"op":2.2,"vw":2.05,"o":2.05,"c":2.05,"h":2.05,"l":2.05,"a":2.1312,"z":2,"s":1632419640000,"e":1632419700000}"#,
    r#"{"ev":"A","sym":"SPY","v":200,"n":7,"o":1,"c":1.5e0,"h":2,"l":0.1,"s":1632419640000,"e":1632419641000}"#,
    r#"[{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130},{"ev":"status","status":"auth_success"}]"#,
    r#" [ {"t":1644506128351,"ap":0,"q":18446744073709551615,"c":[ 1 ],"\u0073ym":"SPY","ev":"Q","b":null} ]"#,
];

fuzz_target!(
    init: orrery_fuzz::sow(&SEEDS.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>()),
    |data: &[u8]| round_trip(&both(data).0)
);
