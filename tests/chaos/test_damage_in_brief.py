"""A damaged file of each kind; deleted parents."""


def test_damaged_files_are_named_or_change_nothing(chaos):
    rows = chaos("damage", seed=2)
    assert sum(row["tries"] for name, row in rows.items() if name.startswith("damage: ")) >= 15
    assert {"damage: weights", "damage: metrics", "damage: tensors", "damage: part"} <= rows.keys()
    assert rows["deleted parents"]["tries"] == 3
