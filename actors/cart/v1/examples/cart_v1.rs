//! The library of cart 1.0.0.
#![forbid(unsafe_code)]

use cart_v1::Basket;

teneral_actor::export_actor!(Basket, kind = "cart");
