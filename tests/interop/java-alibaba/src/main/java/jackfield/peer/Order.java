package jackfield.peer;

import java.io.Serializable;

public class Order implements Serializable {
    private Integer id;
    private String note;

    public Order() {
    }

    public Order(Integer id, String note) {
        this.id = id;
        this.note = note;
    }

    public Integer getId() {
        return id;
    }

    public void setId(Integer id) {
        this.id = id;
    }

    public String getNote() {
        return note;
    }

    public void setNote(String note) {
        this.note = note;
    }

    @Override
    public String toString() {
        return id + "/" + note;
    }
}
