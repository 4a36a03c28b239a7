//! Who is here: foca behind our words. (being written)
