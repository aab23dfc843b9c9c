"""The data sets, one family a file: importing a file makes its family known."""
