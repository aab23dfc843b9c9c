"""Tables made from records: `table` has the forms, `rows` and `cells` their contents, `write` all tables of a study."""
