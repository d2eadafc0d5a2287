//! Which bucket of a schema a magnitude is in, and where a bucket ends.

/// The finest schema.
pub const MAX_SCHEMA: i8 = 8;
/// The coarsest schema, which a histogram does not go beyond however many buckets it has.
pub const MIN_SCHEMA: i8 = -4;

/// The index of the bucket that bucket `index` is a part of, so many levels up.
#[inline]
pub(super) fn widen(index: i32, levels: u8) -> i32 {
    let levels = u32::from(levels.min(31));
    (index + ((1 << levels) - 1)) >> levels
}

/// The index of the bucket of `schema` that a magnitude above 0 is in. Infinity has the bucket
/// behind that of the greatest number.
#[inline]
#[must_use]
pub fn index(magnitude: f64, schema: i8) -> i32 {
    let finest = match magnitude.is_infinite() {
        true => (1024 << MAX_SCHEMA) + 1,
        false => finest_index(magnitude),
    };
    widen(finest, (MAX_SCHEMA - schema).unsigned_abs())
}

/// The same for a finite magnitude and the finest schema.
#[inline]
fn finest_index(magnitude: f64) -> i32 {
    let bits = magnitude.to_bits();
    let (exponent, mantissa) = match bits >> MANTISSA_BITS {
        // A subnormal number is shifted until it has its leading one.
        0 => {
            let shift = bits.leading_zeros() - (63 - MANTISSA_BITS);
            (-1022 - shift as i32, (bits << shift) & MANTISSA)
        }
        exponent => (exponent as i32 - 1023, bits & MANTISSA),
    };
    // No slice of the mantissas has more than two bounds.
    let slice = (mantissa >> (MANTISSA_BITS - MAX_SCHEMA as u32)) as usize;
    let first = usize::from(FIRST_BOUNDS[slice]);
    let behind = |at: usize| usize::from(BOUNDS[first + at] < mantissa);
    (exponent << MAX_SCHEMA) + (first + behind(0) + behind(1)) as i32
}

/// The mantissas, and behind them what is above all of them.
const BOUNDS: [u64; 258] = {
    let mut bounds = [u64::MAX; 258];
    let mut at = 0;
    while at < 256 {
        bounds[at] = MANTISSAS[at];
        at += 1;
    }
    bounds
};

/// The number of bounds below each 256th part of the mantissas.
const FIRST_BOUNDS: [u16; 256] = {
    let mut first = [0; 256];
    let (mut slice, mut bound) = (0, 0);
    while slice < 256 {
        while BOUNDS[bound] < (slice as u64) << (MANTISSA_BITS - MAX_SCHEMA as u32) {
            bound += 1;
        }
        first[slice] = bound as u16;
        let within = bound + 2;
        assert!(within > 257 || BOUNDS[within] >= (slice as u64 + 1) << (MANTISSA_BITS - 8));
        slice += 1;
    }
    first
};

/// The upper bound of bucket `index` of `schema`, or infinity where there is no such number.
#[must_use]
pub fn upper_bound(index: i32, schema: i8) -> f64 {
    let finest = match schema {
        0.. => i64::from(index) << (MAX_SCHEMA - schema),
        _ => i64::from(index) << (MAX_SCHEMA as u32 + schema.unsigned_abs() as u32),
    };
    let (exponent, part) = (finest >> MAX_SCHEMA, (finest & 255) as usize);
    match exponent {
        1024.. => f64::INFINITY,
        -1022..=1023 => {
            f64::from_bits(((exponent + 1023) as u64) << MANTISSA_BITS | MANTISSAS[part])
        }
        // A subnormal bound loses bits of its mantissa, and may be 0.
        _ => {
            let normal = f64::from_bits(1023 << MANTISSA_BITS | MANTISSAS[part]);
            normal * f64::from_bits(1) * 2_f64.powi((exponent.max(-1100) + 1074) as i32)
        }
    }
}

const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;

/// The mantissas of 2^(i/256), rounded to the nearest: the bounds of the finest schema between 1
/// and 2. They are written out, because what bucket a number is in must not depend on a library.
#[rustfmt::skip]
const MANTISSAS: [u64; 256] = [
    0x00000_00000000, 0x00b1a_fa5abcbf, 0x0163d_a9fb3335, 0x02168_143b0281,
    0x02c9a_3e778061, 0x037d4_2e11bbcc, 0x04315_e86e7f85, 0x04e5f_72f654b1,
    0x059b0_d3158574, 0x0650a_0e3c1f89, 0x0706b_29ddf6de, 0x07bd4_2b72a836,
    0x08745_18759bc8, 0x092bd_f66607e0, 0x09e3e_cac6f383, 0x0a9c7_9b1f3919,
    0x0b558_6cf9890f, 0x0c0f1_45e46c85, 0x0cc92_2b7247f7, 0x0d83b_23395dec,
    0x0e3ec_32d3d1a2, 0x0efa5_5fdfa9c5, 0x0fb66_affed31b, 0x10730_28d7233e,
    0x11301_d0125b51, 0x11edb_ab5e2ab6, 0x12abd_c06c31cc, 0x136a8_14f204ab,
    0x1429a_aea92de0, 0x14e95_934f312e, 0x15a98_c8a58e51, 0x166a4_5471c3c2,
    0x172b8_3c7d517b, 0x17ed4_8695bbc0, 0x18af9_388c8dea, 0x19726_58375d2f,
    0x1a35b_eb6fcb75, 0x1af99_f8138a1c, 0x1bbe0_84045cd4, 0x1c82f_95281c6b,
    0x1d487_3168b9aa, 0x1e0e7_5eb44027, 0x1ed50_22fcd91d, 0x1f9c1_8438ce4d,
    0x2063b_88628cd6, 0x212be_3578a819, 0x21f49_917ddc96, 0x22bdd_a27912d1,
    0x2387a_6e756238, 0x2451f_fb82140a, 0x251ce_4fb2a63f, 0x25e85_711ece75,
    0x26b45_65e27cdd, 0x2780e_341ddf29, 0x284df_e1f56381, 0x291ba_7591bb70,
    0x29e9d_f51fdee1, 0x2ab8a_66d10f13, 0x2b87f_d0dad990, 0x2c57e_39771b2f,
    0x2d285_a6e4030b, 0x2df96_1f641589, 0x2ecaf_a93e2f56, 0x2f9d2_4abd886b,
    0x306fe_0a31b715, 0x31432_edeeb2fd, 0x32170_fc4cd831, 0x32eb8_3ba8ea32,
    0x33c08_b26416ff, 0x34962_66e3fa2d, 0x356c5_5f929ff1, 0x36431_a2de883b,
    0x371a7_373aa9cb, 0x37f26_231e754a, 0x38cae_6d05d866, 0x39a40_1b7140ef,
    0x3a7db_34e59ff7, 0x3b57f_bfec6cf4, 0x3c32d_c313a8e5, 0x3d0e5_44ede173,
    0x3dea6_4c123422, 0x3ec70_df1c5175, 0x3fa45_04ac801c, 0x40822_c367a024,
    0x4160a_21f72e2a, 0x423fb_2709468a, 0x431f5_d950a897, 0x43ffa_3f84b9d4,
    0x44e08_6061892d, 0x45c20_42a7d232, 0x46a41_ed1d0057, 0x4786d_668b3237,
    0x486a2_b5c13cd0, 0x494e1_e192aed2, 0x4a32a_f0d7d3de, 0x4b17d_ea6db7d7,
    0x4bfda_d5362a27, 0x4ce41_b817c114, 0x4dcb2_99fddd0d, 0x4eb2d_81d8abff,
    0x4f9b2_769d2ca7, 0x50841_7f4531ee, 0x516da_a2cf6642, 0x5257d_e83f4eef,
    0x5342b_569d4f82, 0x542e2_f4f6ad27, 0x551a4_ca5d920f, 0x56070_dde910d2,
    0x56f47_36b527da, 0x57e27_dbe2c4cf, 0x58d12_d497c7fd, 0x59c08_27ff07cc,
    0x5ab07_dd485429, 0x5ba11_fba87a03, 0x5c926_8a5946b7, 0x5d845_90998b93,
    0x5e76f_15ad2148, 0x5f6a3_20dceb71, 0x605e1_b976dc09, 0x6152a_e6cdf6f4,
    0x6247e_b03a5585, 0x633dd_1d1929fd, 0x64346_34ccc320, 0x652b9_febc8fb7,
    0x66238_82552225, 0x671c1_c70833f6, 0x68155_d44ca973, 0x690f4_b19e9538,
    0x6a09e_667f3bcd, 0x6b052_fa75173e, 0x6c012_750bdabf, 0x6cfdc_ddd47645,
    0x6dfb2_3c651a2f, 0x6ef92_98593ae5, 0x6ff7d_f9519484, 0x70f74_66f42e87,
    0x71f75_e8ec5f74, 0x72f82_86ead08a, 0x73f9a_48a58174, 0x74fbd_35d7cbfd,
    0x75feb_564267c9, 0x77024_b1ab6e09, 0x78069_4fde5d3f, 0x790b9_38ac1cf6,
    0x7a114_73eb0187, 0x7b17b_0976cfdb, 0x7c1ed_0130c132, 0x7d26a_62ff86f0,
    0x7e2f3_36cf4e62, 0x7f387_8491c491, 0x80427_543e1a12, 0x814d2_add106d9,
    0x82589_994cce13, 0x8364c_1eb941f7, 0x8471a_4623c7ad, 0x857f4_179f5b21,
    0x868d9_9b4492ed, 0x879ca_d931a436, 0x88ac7_d98a6699, 0x89bd0_a478580f,
    0x8ace5_422aa0db, 0x8be05_bad61778, 0x8cf32_16b5448c, 0x8e06a_5e0866d9,
    0x8f1ae_99157736, 0x902fe_d0282c8a, 0x9145b_0b91ffc6, 0x925c3_53aa2fe2,
    0x93737_b0cdc5e5, 0x948b8_2b5f98e5, 0x95a44_cbc8520f, 0x96bdd_9a7670b3,
    0x97d82_9fde4e50, 0x98f33_e47a22a2, 0x9a0f1_70ca07ba, 0x9b2bb_4d53fe0d,
    0x9c491_82a3f090, 0x9d674_194bb8d5, 0x9e863_19e32323, 0x9fa5e_8d07f29e,
    0xa0c66_7b5de565, 0xa1e7a_ed8eb8bb, 0xa309b_ec4a2d33, 0xa42c9_80460ad8,
    0xa5503_b23e255d, 0xa674a_8af46052, 0xa799e_1330b358, 0xa8bfe_53c12e59,
    0xa9e6b_5579fdbf, 0xab0e5_21356eba, 0xac36b_bfd3f37a, 0xad5ff_3a3c2774,
    0xae89f_995ad3ad, 0xafb4c_e622f2ff, 0xb0e07_298db666, 0xb20ce_6c9a8952,
    0xb33a2_b84f15fb, 0xb4684_15b749b1, 0xb5972_8de5593a, 0xb6c6e_29f1c52a,
    0xb7f76_f2fb5e47, 0xb928c_f22749e4, 0xba5b0_30a1064a, 0xbb8e0_b79a6f1f,
    0xbcc1e_904bc1d2, 0xbdf69_c3f3a207, 0xbf2c2_5bd71e09, 0xc0628_6141b33d,
    0xc199b_dd85529c, 0xc2d1c_d9fa652c, 0xc40ab_5fffd07a, 0xc5447_78fafb22,
    0xc67f1_2e57d14b, 0xc7ba8_8988c933, 0xc8f6d_9406e7b5, 0xca340_5751c4db,
    0xcb720_dcef9069, 0xccb0f_2e6d1675, 0xcdf0b_555dc3fa, 0xcf315_5b5bab74,
    0xd072d_4a07897c, 0xd1b53_2b08c968, 0xd2f87_080d89f2, 0xd43c8_eacaa1d6,
    0xd5818_dcfba487, 0xd6c76_e862e6d3, 0xd80e3_16c98398, 0xd955d_71ff6075,
    0xda9e6_03db3285, 0xdbe7c_d63a8315, 0xdd321_f301b460, 0xde7d5_641c0658,
    0xdfc97_337b9b5f, 0xe1167_6b197d17, 0xe2646_14f5a129, 0xe3b33_3b16ee12,
    0xe502e_e78b3ff6, 0xe6539_24676d76, 0xe7a51_fbc74c83, 0xe8f79_77cdb740,
    0xea4af_a2a490da, 0xeb9f4_867cca6e, 0xecf48_2d8e67f1, 0xee4aa_a2188510,
    0xefa1b_ee615a27, 0xf0f9c_1cb6412a, 0xf252b_376bba97, 0xf3ac9_48dd7274,
    0xf5076_5b6e4540, 0xf6632_798844f8, 0xf7bfd_ad9cbe14, 0xf91d8_02243c89,
    0xfa7c1_819e90d8, 0xfbdba_3692d514, 0xfd3c2_2b8f71f1, 0xfe9d9_6b2a23d9,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_bucket_whose_bounds_are_around_it() {
        for (magnitude, schema, expect) in [
            (1.0, 0, 0),
            (1.000_000_1, 0, 1),
            (2.0, 0, 1),
            (0.5, 0, -1),
            (0.500_1, 0, 0),
            (3.0, 1, 4),
            (2.8, 1, 3),
            (1.0, 8, 0),
            (2.0, 8, 256),
            (1.001, 8, 1),
            (4.0, -1, 1),
            (4.1, -1, 2),
            (1.0, -4, 0),
            (65_536.0, -4, 1),
            (65_537.0, -4, 2),
            (f64::MAX, -4, 64),
            (f64::INFINITY, -4, 65),
            (f64::MAX, 0, 1024),
            (f64::INFINITY, 0, 1025),
            (f64::MAX, 8, 1024 * 256),
            (f64::INFINITY, 8, 1024 * 256 + 1),
            (f64::MIN_POSITIVE, 0, -1022),
            (f64::from_bits(1), 0, -1074),
            (f64::from_bits(3), 0, -1072),
            (f64::from_bits(1), -4, -67),
        ] {
            assert_eq!(index(magnitude, schema), expect, "{magnitude} of schema {schema}");
        }
    }

    #[test]
    fn bounds_rise_and_a_bucket_holds_its_upper_bound() {
        for schema in MIN_SCHEMA..=MAX_SCHEMA {
            let most = index(f64::MAX, schema);
            let step = (most / 997).max(1);
            for at in (index(f64::MIN_POSITIVE, schema)..=most).step_by(step as usize) {
                let bound = upper_bound(at, schema);
                if bound.is_finite() {
                    assert_eq!(index(bound, schema), at, "schema {schema}, index {at}");
                    let above = f64::from_bits(bound.to_bits() + 1);
                    assert!(above.is_infinite() || index(above, schema) == at + 1);
                }
            }
        }
        assert_eq!(upper_bound(index(f64::MAX, 3), 3), f64::INFINITY);
        assert_eq!(upper_bound(-1074, 0), f64::from_bits(1));
        assert_eq!(upper_bound(0, -4), 1.0);
        assert!(MANTISSAS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
