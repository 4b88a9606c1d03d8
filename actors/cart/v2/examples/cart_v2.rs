//! The library of cart 2.0.0.
#![forbid(unsafe_code)]

use cart_api::v1;
use cart_v2::Basket;

teneral_actor::export_actor!(Basket, kind = "cart", from = [v1::Basket], down = [v1::Basket]);
