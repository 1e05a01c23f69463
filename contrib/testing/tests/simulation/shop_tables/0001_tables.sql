-- up
CREATE TABLE shop_order (id INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE shop_stock (id INTEGER PRIMARY KEY, remaining INTEGER NOT NULL);
CREATE TABLE shop_entry (id INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL);
INSERT INTO shop_stock (id, remaining) VALUES (1, 1000);
-- down
DROP TABLE shop_entry;
DROP TABLE shop_stock;
DROP TABLE shop_order;
